"""What a change of model costs: latency in the seconds around a swap beside that of the quiet ones.

Events come at a steady pace while new champions are promoted, in turn of the network shape that the
worker has compiled before and of one that it has never seen. Both halves come from one run, so that
whatever else the machine does is in both.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.bench import Bench
from benchmarks.errors import BenchmarkError
from benchmarks.latency import Pace, late_by_event, send_at_pace
from benchmarks.reference.contestants import CAMPAIGN, opportune, reference_bundle
from benchmarks.reference.model import Float64s, ReferenceModel
from benchmarks.reference.verify import Verdict
from benchmarks.worker_process import WorkerProcess
from models.bundle import Bundle
from models.registry import Registry
from stream.campaign import file as campaign_file

Shape = Literal["same", "new"]
_SETTLE_S = 4.0
_AFTER_S = 1.0
"""How long after the swap an event counts as around it: what queued up meanwhile is decided then."""
_QUIET_S = 2.5
_BEFORE_S = 0.5
_SWAP_MAX_S = 60.0


@dataclass(frozen=True)
class Swap:
    """One change of model, by the worker's own log.

    Attributes:
        shape: Whether the worker has compiled this shape of network before.
        begin_ms: When it began to load, epoch milliseconds.
        end_ms: When it had loaded, epoch milliseconds.
    """

    shape: Shape
    begin_ms: float
    end_ms: float

    @property
    def load_ms(self) -> float:
        """How long it loaded, beside its work."""
        return self.end_ms - self.begin_ms


@dataclass(frozen=True)
class Quantiles:
    """Latencies of a number of events, milliseconds."""

    events: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float

    @classmethod
    def of(cls, late_ms: Float64s) -> Quantiles:
        """Of the events with a decision."""
        late_ms = late_ms[~np.isnan(late_ms)]
        if not len(late_ms):
            return cls(0, *[float("nan")] * 4)
        return cls(len(late_ms), *np.quantile(late_ms, [0.5, 0.99, 0.999, 1.0]).tolist())


@dataclass(frozen=True)
class Around:
    """The swaps of one kind.

    Attributes:
        load_ms: Median time of loading.
        quiet: The events of the seconds before.
        swap: The events that came while it loaded and in the second after.
        worst_p99_ms: Of the swaps the largest p99.
    """

    load_ms: float
    quiet: Quantiles
    swap: Quantiles
    worst_p99_ms: float


@dataclass(frozen=True)
class Reload:
    """What was found.

    Attributes:
        rate: Events a second.
        swaps: All changes of model.
        same: Those to a shape that was there.
        new: Those to a shape that was not.
        verdict: What the referee says of all decisions: every model gives the same.
    """

    rate: int
    swaps: tuple[Swap, ...]
    same: Around
    new: Around
    verdict: Verdict

    @property
    def clean(self) -> bool:
        """Whether no event was lost, repeated or decided wrongly."""
        return self.verdict.clean


def measure_reload(bench: Bench, rate: int, pairs: int) -> Reload:
    """Runs a worker under load and changes its model, `pairs` times to each kind of shape."""
    with bench.job() as job:
        with opportune("flat")(job) as worker:
            with bench.steps.step("reload: starting the worker"):
                worker.wait_for_line("begin", bench.cluster.partitions)
            shapes: list[Shape] = ["same", "new"] * pairs
            poll_s = campaign_file.load(CAMPAIGN).model.poll_interval_s
            pace = Pace(rate, _SETTLE_S, len(shapes) * (poll_s + _SETTLE_S + 1) + _SETTLE_S)
            with (
                bench.steps.step(f"reload: {rate:,} events a second", pace.events),
                ThreadPoolExecutor(1) as background,
            ):
                sending = background.submit(send_at_pace, job, pace, bench.customers)
                time.sleep(2 * _SETTLE_S)
                swaps = tuple(_swap_all(worker, job.registry, shapes))
                sending.result()
                decided = partial(bench.cluster.records, job.decisions)
                worker.wait_until("decisions", decided, pace.events)
            worker.stop()
        with bench.steps.step("reload: reading"):
            events, decisions, verdict = job.judge("flat")
    late_ms = late_by_event(events, decisions)
    same, new = (
        _around([s for s in swaps if s.shape == shape], events.append_ms, late_ms)
        for shape in ("same", "new")
    )
    return Reload(rate, swaps, same, new, verdict)


def print_reload(reload: Reload) -> None:
    """The comparison as a table."""
    table = Table(title=f"Changes of model at {reload.rate:,} events a second, ms")
    for name in ("network shape", ""):
        table.add_column(name)
    for name in ("loading", "events", "p50", "p99", "p99.9", "max", "worst p99"):
        table.add_column(name, justify="right")
    for shape, around in (("same", reload.same), ("new", reload.new)):
        for when, found in (("before", around.quiet), ("around", around.swap)):
            swap = when == "around"
            table.add_row(
                shape, when, f"{around.load_ms:.0f}" if swap else "", f"{found.events:,}",
                *(f"{ms:.0f}" for ms in (found.p50_ms, found.p99_ms, found.p999_ms, found.max_ms)),
                f"{around.worst_p99_ms:.0f}" if swap else "",
            )  # fmt: skip
    console = Console()
    console.print(table)
    console.print(
        f"{len(reload.swaps)} swaps; {reload.verdict.missing} missing, "
        f"{reload.verdict.duplicates} duplicates, {reload.verdict.agree:.4%} as the referee decides"
    )


def reload_json(reload: Reload) -> dict[str, Any]:
    """The result as plain data; the caller adds the machine."""
    return {**asdict(reload), "clean": reload.clean}


def _swap_all(worker: WorkerProcess, registry: Registry, shapes: list[Shape]) -> Iterator[Swap]:
    for number, shape in enumerate(shapes, start=1):
        bundle = _variant(number, number // 2 if shape == "new" else 0)
        registry.promote(registry.publish(bundle))
        worker.wait_for_line("model_loaded", number + 1, _SWAP_MAX_S)
        line = worker.lines("model_loaded")[-1]
        if line["version"] != bundle.manifest.version:
            raise BenchmarkError(
                f"expected the worker to load {bundle.manifest.version}, it loaded {line['version']}"
            )
        end_ms = 1000 * datetime.fromisoformat(line["ts"]).timestamp()
        yield Swap(shape, end_ms - 1000 * line["load_s"], end_ms)
        time.sleep(_SETTLE_S)


def _variant(number: int, more_units: int) -> Bundle:
    """The reference model as another version, with units in the hidden layer that do nothing."""
    model = ReferenceModel.load()
    wide = replace(
        model,
        w1=np.pad(model.w1, ((0, 0), (0, more_units))),
        b1=np.pad(model.b1, (0, more_units)) - number * 1e-6,  # other weights, the same decisions
        w2=np.pad(model.w2, ((0, more_units), (0, 0))),
    )
    return reference_bundle(wide, campaign_file.load(CAMPAIGN))


def _around(swaps: list[Swap], append_ms: Any, late_ms: Float64s) -> Around:
    quiet, around, worst = [], [], 0.0
    for swap in swaps:
        before = (append_ms >= swap.begin_ms - 1000 * (_QUIET_S + _BEFORE_S)) & (
            append_ms < swap.begin_ms - 1000 * _BEFORE_S
        )
        during = (append_ms >= swap.begin_ms - 50) & (append_ms < swap.end_ms + 1000 * _AFTER_S)
        quiet.append(late_ms[before])
        around.append(late_ms[during])
        worst = max(worst, Quantiles.of(late_ms[during]).p99_ms)
    return Around(
        float(np.median([swap.load_ms for swap in swaps])),
        Quantiles.of(np.concatenate(quiet)),
        Quantiles.of(np.concatenate(around)),
        worst,
    )
