"""Are the features that a worker decided on, killed and started again, those of a replay?

The topic is filled beforehand, the worker is killed twice on its way through it, so that events are
read and decisions published more than once. Then `trainer.parity` replays everything. Two inputs: the
reference job, and the whole Complete Journey year in one topic, whose order is then total.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
import numpy as np
from rich.console import Console

from benchmarks.bench import Bench
from benchmarks.errors import BenchmarkError
from benchmarks.reference.contestants import Job, Start, opportune
from benchmarks.reference.input import Input, generate, load
from benchmarks.report import environment
from benchmarks.worker_process import WorkerProcess
from models import network
from models.bundle import Bundle, Fit, Golden
from models.contract import Normalization
from models.manifest import DataWindow, NetworkConfig
from stream.campaign import file as campaign_file
from stream.campaign.file import Campaign
from stream.features.plan import FeaturePlan, compile_features
from trainer.commands.printed.parity_tables import print_parity
from trainer.demo import journey
from trainer.parity.check import check_parity
from trainer.parity.logged import Scope
from trainer.parity.partition_reader import open_topics
from trainer.parity.result import Parity

Data = Literal["reference", "journey"]
_KILLS = 2
_DEMO = Path(journey.__file__).parent / "opportune.toml"
_NOTHING = "nothing"


@dataclass(frozen=True)
class ParityRun:
    """One run.

    Attributes:
        data: Which input.
        kills: How often the worker was killed.
        uncovered: Decisions, at least, that no checkpoint covered when it was.
        check_s: What reading, replaying and comparing took.
        parity: What was found.
    """

    data: Data
    kills: int
    uncovered: int
    check_s: float
    parity: Parity

    @property
    def clean(self) -> bool:
        """Whether every vector was compared and is the same in every bit."""
        parity = self.parity
        return (
            parity.holds
            and parity.compared == parity.decisions
            and parity.different_bytes == 0
            and parity.undecided_yet == 0
        )


def measure_parity(bench: Bench, data: Data, events: int) -> ParityRun:
    """Lets a worker decide, kills it on its way, and compares.

    Args:
        bench: Where.
        data: Which input.
        events: Of the reference job; the year has as many as it has.
    """
    with bench.job() as job:
        source, start = _inputs(bench, data, events)
        with bench.steps.step(f"parity, {data}: loading", len(source)) as advance:
            load(bench.cluster, job.events, cast(Input, source), advance)
        with bench.steps.step(f"parity, {data}: deciding, killed {_KILLS} times", len(source)):
            uncovered = _decide(job, start, len(source))
        if uncovered == 0:
            raise BenchmarkError(
                "expected decisions that no checkpoint covered when a worker was killed, got none: it was "
                "killed before it had begun or after it had covered everything. Measure more events"
            )
        with bench.steps.step(f"parity, {data}: comparing", len(source)) as advance:
            return _compare(job, data, uncovered, advance)


def print_parity_run(run: ParityRun) -> None:
    """The report of the check, and how long it took."""
    console = Console(highlight=False)
    print_parity(console, run.parity)
    rate = run.parity.compared / run.check_s
    console.print(
        f"{run.data}: worker killed {run.kills} times, with {run.uncovered:,} decisions or more that no "
        f"checkpoint covered; checked in {run.check_s:.1f} s, {rate:,.0f} "
        "decisions a second."
    )


def parity_json(run: ParityRun) -> dict[str, Any]:
    """The result as plain data."""
    figures = asdict(run) | {"parity": msgspec.to_builtins(run.parity)}
    return {**figures, "check_s": round(run.check_s, 2), "clean": run.clean, **environment()}


def _inputs(bench: Bench, data: Data, events: int) -> tuple[Input | _Year, Start]:
    if data == "reference":
        return generate(events, bench.customers), opportune("cloudevents")
    return _Year(journey.read_journey()), _grocer


@dataclass(frozen=True)
class _Year:
    """A journey in the form that `load` takes, all in one topic."""

    year: journey.Journey

    def __len__(self) -> int:
        return len(self.year)

    def slice(self, start: int, stop: int) -> _Year:
        """The events start <= i < stop."""
        year = self.year
        part = slice(start, stop)
        return _Year(
            journey.Journey(year.time_ms[part], year.topic[part], year.key[part], year.value[part])
        )

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of each event."""
        return zip(self.year.key, self.year.value, strict=True)


def _decide(job: Job, start: Start, events: int) -> int:
    """Returns when all events are covered; kills a worker after each part of them.

    The successor has another model, where there is one.

    Returns:
        How many decisions, at least, had no checkpoint behind them when a worker was killed.
    """
    uncovered = 0
    decided = partial(job.cluster.records, job.decisions)
    covered = partial(job.cluster.committed, job.name, job.events)
    for part in range(1, _KILLS + 1):
        with start(job) as worker:
            worker.wait_until("decisions", decided, events * part // (_KILLS + 2))
            worker.kill()
        uncovered += max(0, decided() - covered())
        registry = job.registry
        if (unused := registry.versions()[-1]) != registry.pointer("champion"):
            registry.promote(unused)
    with start(job) as worker:
        worker.wait_until("covered events", covered, events)
        worker.stop()
    return uncovered


def _compare(job: Job, data: Data, uncovered: int, advance: Callable[[int], object]) -> ParityRun:
    campaign = campaign_file.load(job.campaign_file)
    seen = 0

    def on_records(done: int, _total: int) -> None:
        nonlocal seen
        advance(done - seen)
        seen = done

    began_s = time.perf_counter()
    with open_topics(job.cluster.bootstrap, [job.decisions, job.events], on_records) as topics:
        parity = check_parity(campaign, job.registry, topics, Scope())
    check_s = time.perf_counter() - began_s
    return ParityRun(data, _KILLS, uncovered, check_s, parity)


def _grocer(job: Job) -> WorkerProcess:
    """Starts `opportune worker` on the campaign of the demo, with models of made-up constants."""
    if not job.campaign_file.exists():
        campaign = job.write_campaign(_DEMO)
        models, plan = job.registry, compile_features(campaign)
        first, _ = [models.publish(_bundle(campaign, plan, seed)) for seed in range(2)]
        models.promote(first)
    return job.start()


def _bundle(campaign: Campaign, plan: FeaturePlan, seed: int) -> Bundle:
    """A model that was never fitted: what is compared is what it would be given."""
    rng, features = np.random.default_rng(seed), len(plan.names)
    strategies = (*(strategy.id for strategy in campaign.strategies), _NOTHING)
    config = NetworkConfig(
        network="mlp",
        head="response",
        inputs=features,
        outputs=len(strategies),
        hidden=campaign.model.hidden,
    )
    model = network.build(config, seed=seed)
    inputs = rng.standard_normal((8, features), np.float32)
    return Bundle.create(
        contract=plan.contract,
        normalization=Normalization(
            rng.uniform(0, 3, features), rng.uniform(0.3, 2, features), clip=8.0
        ),
        strategies=strategies,
        network=config,
        weights=network.weights(model),
        golden=Golden(inputs, np.asarray(model(inputs))),
        fit=Fit(
            created=datetime(2026, 1, 1 + seed, tzinfo=UTC), window=DataWindow(0, 1), seed=seed
        ),
    )
