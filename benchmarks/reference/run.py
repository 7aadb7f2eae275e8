"""The reference job, done by our worker and by the baseline in turn, on one broker."""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchmarks.bench import open_bench
from benchmarks.latency import Latency, Pace, measure_latency
from benchmarks.reference.contestants import naive, opportune
from benchmarks.reference.read import Form
from benchmarks.reference.throughput import Pair, Throughput, measure_pair, run_once

_PACE = Pace(rate=5_000, warm_up_s=3, seconds=5)


@dataclass(frozen=True)
class ReferencePlan:
    """What to measure.

    Attributes:
        events: Events of the larger run of our worker; the smaller one has a fifth.
        customers: Customers of the input.
        partitions: Of every topic.
        rounds: Pairs of runs of each contestant, in turn.
        form: Form of the decisions of our worker.
        naive_events: Events of the larger run of the baseline, the smaller one has a quarter;
            None leaves it out.
        cloudevents: Whether to measure our worker in the CloudEvents form too.
        pace: Of the latency.
    """

    events: int
    customers: int
    partitions: int
    rounds: int
    form: Form
    naive_events: int | None
    cloudevents: bool
    pace: Pace = _PACE

    @property
    def sizes(self) -> tuple[int, int]:
        """Events of the two runs of our worker."""
        return self.events // 5, self.events


@dataclass(frozen=True)
class ReferenceResult:
    """Everything that `reference` measured.

    Attributes:
        plan: What was asked for.
        opportune: Our worker.
        latency: Of our worker at the pace of the plan.
        naive: The baseline, if it ran.
        cloudevents: Our worker with decisions in the CloudEvents form, if it ran.
    """

    plan: ReferencePlan
    opportune: Throughput
    latency: Latency
    naive: Throughput | None
    cloudevents: Throughput | None

    @property
    def ratio(self) -> float | None:
        """How many times the decisions of the baseline."""
        return None if self.naive is None else self.opportune.per_second / self.naive.per_second

    @property
    def ratio_from_first(self) -> float | None:
        """The same by the rates from the first decision on."""
        if self.naive is None:
            return None
        return self.opportune.per_second_from_first / self.naive.per_second_from_first

    @property
    def measured(self) -> bool:
        """Whether our rate and that of the baseline came about."""
        ran = [self.opportune, self.naive]
        return not any(math.isnan(one.per_second) for one in ran if one is not None)

    @property
    def clean(self) -> bool:
        """Whether the referee found nothing in any run."""
        ran = [self.opportune, self.naive, self.cloudevents]
        return not self.latency.missing and all(one.clean for one in ran if one is not None)


def run_reference(plan: ReferencePlan) -> ReferenceResult:
    """Measures everything; a run before it, which does not count, fills the caches."""
    ours, naives, cloudevents = list[Pair](), list[Pair](), list[Pair]()
    start = opportune(plan.form)
    with open_bench(plan.partitions, plan.customers) as bench:
        run_once(bench, "warm-up", start, plan.form, plan.sizes[0])
        for _ in range(plan.rounds):
            ours.append(measure_pair(bench, "opportune", start, plan.form, plan.sizes))
            if (events := plan.naive_events) is not None:
                sizes = events // 4, events
                naives.append(measure_pair(bench, "naive", naive, "flat", sizes))
            if plan.cloudevents:
                form: Form = "cloudevents"
                cloudevents.append(measure_pair(bench, form, opportune(form), form, plan.sizes))
        latency = measure_latency(bench, start, plan.form, plan.pace)
    others = (Throughput(pairs) if pairs else None for pairs in (naives, cloudevents))
    return ReferenceResult(plan, Throughput(ours), latency, *others)
