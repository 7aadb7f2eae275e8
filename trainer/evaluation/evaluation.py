"""What is known about how well a model predicts, as plain data and as JSON.

Schema, stable and for other programs too; every number is finite, and one that is not defined is
absent:

    format          1
    head            "response": the probability of the outcome with the strategy that was used, or
                    "choice": which strategy it was, among examples with the outcome
    strategies      ids in the order of the outputs
    start, end      times of the first and the last example, RFC 3339 in UTC; null of a table without
                    times
    resamples       bootstrap resamples of the customers behind every interval
    confidence      share of the resamples inside an interval
    thresholds      model -> strategy -> score from which on the outcome is predicted; chosen on the
                    validation examples, which are earlier than those judged here; none for a
                    choice, nor for a model whose thresholds are not known
    base_rates      strategy -> mean outcome in the training part, for a choice its share; empty
                    when not known
    groups          list of
      kind, name      "pooled" all and contacted (where something was done), "macro" mean over the
                      strategies, "strategy" one of them (for a choice: against all others), "slice"
      rows, customers, positives      examples, their customers, examples with the outcome (for a
                                      choice: with the strategy)
      metrics         model -> metric -> estimate; metrics and their units: `metrics.METRICS`
      gains           other model -> metric -> estimate of how much better the candidate is, more
                      is better also for losses; from the same resamples of the customers
      curves          model -> see `Curves`; of pooled groups and strategies
    unseen          the same for candidate and champion alone, on those examples that the champion has
                    not seen, when it has seen some; else null, and the champion is a model above

An estimate is the list [value, low, high], a point of a curve [at, value, low, high]; low and high are
null with too few customers.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Struct

from trainer.evaluation.judged import Head

CANDIDATE = "candidate"
CHAMPION = "champion"

Kind = Literal["pooled", "macro", "strategy", "slice"]


class Estimate(Struct, frozen=True, array_like=True):
    """A number and the ends of its interval."""

    value: float
    low: float | None
    high: float | None


class Bin(Struct, frozen=True):
    """Examples with similar scores: how many, mean score, share of positives."""

    rows: int
    predicted: float
    observed: Estimate


class Point(Struct, frozen=True, array_like=True):
    """A point of a curve: where, how high, and the ends of the interval of the height."""

    at: float
    value: float
    low: float | None
    high: float | None


class Curves(Struct, frozen=True):
    """What a metric leaves out.

    Attributes:
        gain: Share of the positives among the highest scores: those of 0, 1, ... 100 % of the
            examples. Other curves follow from it, see `curves`.
        calibration: Bins of equal weight, the lowest scores first.
        gain_band: The gain, at shares of the examples; the lift of the same examples is it by the
            share. Bands are empty with too few customers.
        roc_band: Recall, at false positive rates.
        pr_band: Precision, at recalls.
        lift: Positives of each tenth of the examples, as a multiple of those of an average one, at
            the end of the tenth.
    """

    gain: tuple[float, ...]
    calibration: tuple[Bin, ...]
    gain_band: tuple[Point, ...] = ()
    roc_band: tuple[Point, ...] = ()
    pr_band: tuple[Point, ...] = ()
    lift: tuple[Point, ...] = ()


class Group(Struct, frozen=True, kw_only=True):
    """Examples that are judged together; see the schema above."""

    kind: Kind
    name: str
    rows: int
    customers: int
    positives: int
    metrics: dict[str, dict[str, Estimate]]
    gains: dict[str, dict[str, Estimate]]
    curves: dict[str, Curves] = {}


class Evaluation(Struct, frozen=True, kw_only=True):
    """All of it; see the schema above."""

    format: Literal[1] = 1
    head: Head
    strategies: tuple[str, ...]
    start: datetime | None
    end: datetime | None
    resamples: int
    confidence: float
    seed: int
    thresholds: dict[str, dict[str, float]]
    groups: tuple[Group, ...]
    base_rates: dict[str, float] = {}
    unseen: Evaluation | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """The candidate and what it is compared with."""
        return tuple(self.groups[0].metrics)

    @property
    def beside_champion(self) -> Evaluation | None:
        """This one or `unseen`: where candidate and champion are compared; None when nowhere."""
        return self if CHAMPION in self.models else self.unseen

    @property
    def all(self) -> Group:
        """All examples."""
        return self.groups[0]

    def of_kind(self, kind: Kind) -> tuple[Group, ...]:
        """The groups of one kind."""
        return tuple(group for group in self.groups if group.kind == kind)

    @property
    def parts(self) -> tuple[Group, ...]:
        """Strategies and slices: an average can hide that a model harms some."""
        return (*self.of_kind("strategy"), *self.of_kind("slice"))

    def headline(self) -> dict[str, float]:
        """The main numbers of the candidate, flat: for the manifest of a bundle.

        Those of all examples bear the name of the metric; others are `macro.`, `contacted.` or, for
        a strategy, `strategy.<id>.` and the metric.
        """
        numbers = {"rows": float(self.all.rows), "customers": float(self.all.customers)}
        for group in self.groups:
            if group.kind != "slice":
                for metric, estimate in group.metrics[CANDIDATE].items():
                    numbers[_prefix(group) + metric] = estimate.value
        return numbers

    @classmethod
    def decode(cls, data: bytes) -> Evaluation:
        """Reads what `encode` wrote."""
        return msgspec.json.decode(data, type=cls)

    def encode(self) -> bytes:
        """Compact JSON."""
        return msgspec.json.encode(self)


def _prefix(group: Group) -> str:
    if group.kind == "strategy":
        return f"strategy.{group.name}."
    return "" if group.name == "all" else f"{group.name}."
