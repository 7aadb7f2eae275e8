"""`python -m benchmarks funnel`: the reference job with all rules of the funnel, beside the same without."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks.bench import Bench, open_bench
from benchmarks.errors import BenchmarkError
from benchmarks.funnel.referee import CAMPAIGN, Referee
from benchmarks.latency import Latency, Pace, measure_latency
from benchmarks.options import json_option, setting
from benchmarks.reference.contestants import Job, opportune
from benchmarks.reference.input import Input, generate, recent
from benchmarks.reference.read import Form, read_values
from benchmarks.reference.throughput import Pair, Throughput, measure_pair, run_once
from benchmarks.report import environment, write_json

_FAULTS = ("missing", "duplicates", "unknown", "wrong_partition", "wrong_customer")


@dataclass(frozen=True)
class Funnel:
    """What was measured.

    Attributes:
        plain: Without rules.
        funnel: With all of them.
        latency: With all of them, at a steady pace.
        violations: By the rule that was broken.
        acted: Share of the decisions that contact somebody.
    """

    plain: Throughput
    funnel: Throughput
    latency: Latency
    violations: dict[str, int]
    acted: float


def made(newest_ms: int, events: int, customers: int) -> Input:
    """The input, which ends at a time."""
    return recent(generate(events, customers), newest_ms)


def measure_funnel(bench: Bench, events: int, rounds: int, pace: Pace) -> Funnel:
    """Runs both in turn; a run before, which does not count, fills the caches."""
    form: Form = "cloudevents"
    sizes = events // 5, events
    now = partial(made, time.time_ns() // 1_000_000)
    plain, with_rules = opportune(form), opportune(form, source=CAMPAIGN)
    found: Counter[str] = Counter()
    seen = [0, 0]

    def inspect(job: Job) -> None:
        referee = Referee()
        asked = read_values(job.cluster, job.events)
        for partition, decisions in read_values(job.cluster, job.decisions).items():
            referee.judge(asked[partition], decisions)
        found.update(referee.found)
        seen[0] += referee.acted
        seen[1] += referee.decisions

    pairs: tuple[list[Pair], list[Pair]] = [], []
    run_once(bench, "warm-up", with_rules, form, sizes[0], now)
    for _ in range(rounds):
        pairs[0].append(measure_pair(bench, "plain", plain, form, sizes, now))
        pairs[1].append(measure_pair(bench, "funnel", with_rules, form, sizes, now, inspect))
    latency = measure_latency(bench, with_rules, form, pace, now)
    ran = Throughput(pairs[0]), Throughput(pairs[1])
    faults = {kind: ran[1].faults(kind) for kind in _FAULTS if ran[1].faults(kind)}
    return Funnel(*ran, latency, {**found, **faults}, seen[0] / max(seen[1], 1))


@click.command()
@setting("--events", click.IntRange(1_000), 1_000_000, "Events of the larger run of each.")
@setting("--rounds", click.IntRange(1), 1, "Pairs of runs of each, in turn; medians.")
@setting("--rate", click.IntRange(1), 5_000, "Events a second while latency is measured.")
@setting("--seconds", click.FloatRange(1), 10.0, "How long latency is measured.")
@setting("--customers", click.IntRange(20), 20_000, "Customers of the input.")
@setting("--partitions", click.IntRange(1, 64), 4, "Partitions of every topic.")
@json_option
def funnel(
    events: int, rounds: int, rate: int, seconds: float, customers: int, partitions: int,
    json_file: Path | None,
) -> None:  # fmt: skip
    """Decisions a second with consent, hold-outs, caps, cool-downs and exploration, and without.

    Ten strategies, decisions in the CloudEvents form. The exit code is 1 when a decision breaks a
    cap, a cool-down, an exclusive group, an open decision, consent, a condition or a hold-out, or when
    its probabilities do not sum to one.
    """
    with open_bench(partitions, customers) as bench:
        found = measure_funnel(bench, events, rounds, Pace(rate, 5.0, seconds))
    data = funnel_json(found)
    for name in ("decisions_per_second", "plain_per_second", "ratio", "cpu_ratio", "p99_ms",
                 "violations", "acted"):  # fmt: skip
        Console().print(f"{name:22} {data[name]}")
    if json_file is not None:
        write_json(json_file, data | environment())
    if found.violations:
        raise BenchmarkError(f"expected decisions that the rules allow, got {found.violations}")


def funnel_json(found: Funnel) -> dict[str, Any]:
    """The result as plain data; `cpu_ratio` is by processor time, which a busy machine leaves alone."""
    return {
        "decisions_per_second": round(found.funnel.per_second),
        "plain_per_second": round(found.plain.per_second),
        "ratio": round(found.funnel.per_second / found.plain.per_second, 3),
        "violations": sum(found.violations.values()),
        "p99_ms": round(found.latency.p99_ms, 1),
        "p50_ms": round(found.latency.p50_ms, 1),
        "cpu_ratio": round(found.plain.cpu_s_per_million / found.funnel.cpu_s_per_million, 3),
        "cpu_s_per_million": round(found.funnel.cpu_s_per_million, 2),
        "plain_cpu_s_per_million": round(found.plain.cpu_s_per_million, 2),
        "acted": round(found.acted, 4),
        "broken": found.violations,
    }
