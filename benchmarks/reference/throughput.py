"""Decisions a second on a topic that was filled beforehand.

The figure is the *marginal* rate: one run with N1 events and one with N2, and between them
(N2 - N1) / (T2 - T1), T from the start of the process to the append of the last decision. Start-up,
warm-up and output that is held back cancel out. On a busy machine the start varies by more than the
events take: then T counts from the first decision of each run, and the result says so. The *span* rate, N / (last - first decision), is
given beside it: it flatters a system that holds its output back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, TypeAlias

from benchmarks.bench import Bench
from benchmarks.reference.contestants import Job, Start
from benchmarks.reference.input import Input, generate, load
from benchmarks.reference.read import Form
from benchmarks.reference.verify import Verdict
from benchmarks.worker_process import Usage

Made: TypeAlias = Callable[[int, int], Input]

_START_UP_SHARE_MAX = 0.25
"""How much of the time between the two runs may come from a difference in start-up."""


@dataclass(frozen=True)
class Run:
    """One run of a contestant.

    Attributes:
        events: Events on the topic.
        to_last_s: From the start of the process to the append of the last decision.
        span_s: From the append of the first decision to that of the last.
        cpu_s: What its process tree took from about the first decision to the last.
        peak_rss_bytes: Largest resident memory of the tree, with start-up.
        verdict: What the referee says of its decisions.
    """

    events: int
    to_last_s: float
    span_s: float
    cpu_s: float
    peak_rss_bytes: int
    verdict: Verdict

    @property
    def to_first_s(self) -> float:
        """From the start of the process to the append of the first decision."""
        return self.to_last_s - self.span_s


@dataclass(frozen=True)
class Pair:
    """Two runs that differ in the number of events, the smaller first."""

    runs: tuple[Run, Run]

    @property
    def start_up_cancels(self) -> bool:
        """Whether both runs took about as long to the first decision."""
        small, large = self.runs
        took_s = large.to_last_s - small.to_last_s
        return abs(large.to_first_s - small.to_first_s) <= _START_UP_SHARE_MAX * took_s

    @property
    def per_second(self) -> float:
        """Marginal decisions a second from process start, if start-up cancels out.

        Else from the first decision on, which a start that varies leaves alone; NaN when that gives
        no rate either.
        """
        if not self.start_up_cancels:
            return self.per_second_from_first
        small, large = self.runs
        return self._marginal(large.to_last_s - small.to_last_s)

    @property
    def per_second_from_first(self) -> float:
        """The same from the append of the first decision on: start-up has no part in it."""
        small, large = self.runs
        return self._marginal(large.span_s - small.span_s)

    @property
    def cpu_s_per_million(self) -> float:
        """Marginal CPU seconds of the process tree for a million events."""
        small, large = self.runs
        return (large.cpu_s - small.cpu_s) / (large.events - small.events) * 1e6

    def _marginal(self, took_s: float) -> float:
        small, large = self.runs
        return (large.events - small.events) / took_s if took_s > 0 else math.nan


@dataclass(frozen=True)
class Throughput:
    """The pairs of one contestant; figures are medians over them, faults are added up."""

    pairs: Sequence[Pair]

    @property
    def runs(self) -> list[Run]:
        """Every run."""
        return [run for pair in self.pairs for run in pair.runs]

    @property
    def per_second(self) -> float:
        """Marginal decisions a second; NaN when no pair has them."""
        return _median(pair.per_second for pair in self.pairs)

    @property
    def basis(self) -> Literal["process start", "first decision"]:
        """From where `per_second` counts the time in every pair, or in one of them at least."""
        cancels = all(pair.start_up_cancels for pair in self.pairs)
        return "process start" if cancels else "first decision"

    @property
    def per_second_from_first(self) -> float:
        """Marginal decisions a second, from the first decision on; NaN when no pair has them."""
        return _median(pair.per_second_from_first for pair in self.pairs)

    @property
    def span_per_second(self) -> float:
        """Span rate of the larger runs."""
        return median(run.events / run.span_s for _, run in (pair.runs for pair in self.pairs))

    @property
    def cpu_s_per_million(self) -> float:
        """Marginal CPU seconds for a million events."""
        return median(pair.cpu_s_per_million for pair in self.pairs)

    @property
    def peak_rss_mib(self) -> float:
        """Largest resident memory of any run."""
        return max(run.peak_rss_bytes for run in self.runs) / (1 << 20)

    @property
    def clean(self) -> bool:
        """Whether the referee found nothing in any run."""
        return all(run.verdict.clean for run in self.runs)

    def faults(self, kind: str) -> int:
        """Faults of one kind, such as "missing", over all runs."""
        return sum(getattr(run.verdict, kind) for run in self.runs)

    @property
    def max_score_error(self) -> float:
        """Largest error of a score in any run."""
        return max(run.verdict.max_score_error for run in self.runs)

    @property
    def agree(self) -> float:
        """Agreement of the run that agrees least."""
        return min(run.verdict.agree for run in self.runs)


def _median(rates: Iterable[float]) -> float:
    measured = [rate for rate in rates if not math.isnan(rate)]
    return median(measured) if measured else math.nan


def measure_pair(
    bench: Bench, name: str, start: Start, form: Form, sizes: tuple[int, int],
    made: Made = generate, inspect: Callable[[Job], object] = lambda _: None,
) -> Pair:  # fmt: skip
    """Two runs of a contestant, one after the other; arguments as for `run_once`."""
    small, large = (run_once(bench, name, start, form, size, made, inspect) for size in sizes)
    return Pair((small, large))


def run_once(
    bench: Bench, name: str, start: Start, form: Form, events: int, made: Made = generate,
    inspect: Callable[[Job], object] = lambda _: None,
) -> Run:  # fmt: skip
    """Fills a topic, lets the contestant decide, and has the decisions checked.

    Args:
        bench: Where.
        name: Of the contestant.
        start: Starts it.
        form: Of its decisions.
        events: How many.
        made: Makes the input from the number of events and of customers.
        inspect: Looks at the topics before they are deleted.
    """
    with bench.job() as job:
        with bench.steps.step(f"{name}: loading", events) as advance:
            load(bench.cluster, job.events, made(events, bench.customers), advance)
        with bench.steps.step(f"{name}: deciding", events) as advance:
            took = _decide(job, start, events, advance)
        with bench.steps.step(f"{name}: verifying"):
            inspect(job)
            return _judge(job, form, took)


@dataclass(frozen=True)
class _Took:
    """When a worker was started, and what it had used at the first decision and at the last."""

    start_ms: int
    at_first: Usage
    at_last: Usage


def _decide(job: Job, start: Start, events: int, advance: Callable[[int], object]) -> _Took:
    seen = 0

    def decided() -> int:
        nonlocal seen
        now = job.cluster.records(job.decisions)
        advance(now - seen)
        seen = now
        return now

    with start(job) as worker:
        worker.wait_until("decisions", decided, 1)
        at_first = worker.usage()
        worker.wait_until("decisions", decided, events)
        at_last = worker.usage()
        worker.stop()
        return _Took(worker.start_ms, at_first, at_last)


def _judge(job: Job, form: Form, took: _Took) -> Run:
    events, decisions, verdict = job.judge(form)
    first_ms, last_ms = int(decisions.append_ms.min()), int(decisions.append_ms.max())
    return Run(
        events=len(events),
        to_last_s=(last_ms - took.start_ms) / 1000,
        span_s=max(last_ms - first_ms, 1) / 1000,
        cpu_s=took.at_last.cpu_s - took.at_first.cpu_s,
        peak_rss_bytes=took.at_last.peak_rss_bytes,
        verdict=verdict,
    )
