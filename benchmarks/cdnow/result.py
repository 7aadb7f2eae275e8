"""What the contest found: means over the seeds, and how sure the differences are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.cdnow.contest import METRICS, MODELS, OURS, deal, play
from benchmarks.cdnow.customers import Customers
from stream.columns import Float64s

_TEST_OVER_TRAIN = 0.2 / 0.6


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better one model is than another on the same customers.

    Attributes:
        mean: Mean difference over the seeds.
        low: Lower end of the 95 % interval.
        high: Upper end.
        wins: Seeds in which it was at least as good.
    """

    mean: float
    low: float
    high: float
    wins: int


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """Figures of all models on all seeds.

    Attributes:
        customers: Number of customers.
        bought_again: Share of them that did.
        figures: By model and metric, one number a seed.
    """

    customers: int
    bought_again: float
    figures: dict[str, dict[str, Float64s]]

    @property
    def seeds(self) -> int:
        """How often the customers were dealt."""
        return len(self.figures[OURS[0]]["roc_auc"])

    def difference(self, ours: str, other: str, metric: str = "roc_auc") -> Difference:
        """The paired difference; positive is better for ours."""
        return paired(self.figures[ours][metric] - self.figures[other][metric])

    @property
    def holds(self) -> bool:
        """Whether each network has at least the mean ROC AUC of every other model."""
        mean = {name: float(one["roc_auc"].mean()) for name, one in self.figures.items()}
        others = max(value for name, value in mean.items() if name not in OURS)
        return min(mean[name] for name in OURS) >= others


def contest(customers: Customers, seeds: int, advance: Callable[[int], object]) -> Result:
    """Lets every model learn on every deal; `advance` is called with 1 after each."""
    played = []
    for seed in range(seeds):
        played.append(play(deal(customers, seed)))
        advance(1)
    figures = {
        name: {metric: np.array([one[name][metric] for one in played]) for metric in METRICS}
        for name in MODELS
    }
    return Result(len(customers), float(customers.bought_again.mean()), figures)


def paired(differences: Float64s) -> Difference:
    """Mean and interval of the differences of one seed each.

    The deals share customers, so they say less than as many independent samples: the variance is
    that of Nadeau and Bengio (Machine Learning 52, 2003), 1/k + test/train instead of 1/k.
    """
    k = len(differences)
    mean, half = float(differences.mean()), math.inf
    if k > 1:
        variance = differences.var(ddof=1) * (1 / k + _TEST_OVER_TRAIN)
        half = float(stats.t.ppf(0.975, k - 1) * math.sqrt(variance))
    return Difference(mean, mean - half, mean + half, int((differences >= 0).sum()))


def as_json(result: Result) -> dict[str, Any]:
    """The result as plain data."""
    return {
        "customers": result.customers,
        "bought_again": round(result.bought_again, 4),
        "seeds": result.seeds,
        "holds": result.holds,
        "models": {
            name: {
                metric: {
                    "mean": round(float(values.mean()), 5),
                    "sd": round(float(values.std(ddof=1)), 5) if result.seeds > 1 else None,
                    "values": [round(float(value), 5) for value in values],
                }
                for metric, values in figures.items()
            }
            for name, figures in result.figures.items()
        },
        "roc_auc_differences": {
            ours: {
                other: _rounded(result.difference(ours, other))
                for other in MODELS
                if other not in OURS
            }
            for ours in OURS
        },
    }


def _rounded(difference: Difference) -> dict[str, float | int | None]:
    known = math.isfinite(difference.low)
    return {
        "mean": round(difference.mean, 5),
        "low": round(difference.low, 5) if known else None,
        "high": round(difference.high, 5) if known else None,
        "wins": difference.wins,
    }
