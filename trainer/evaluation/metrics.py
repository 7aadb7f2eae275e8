"""Metrics of predictions, for many resamples at once: names, directions, and how they come of sums.

Rules of this file
1. A metric that is not defined is NaN here, and absent in an `Evaluation`: an area under a curve
   with positives alone, the precision of a model that predicts nobody.
2. The last axis is the resample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stream.columns import Bools, Float64s
from trainer.evaluation.kernels import (
    BRIER,
    HIT,
    LOSS_NEGATIVE,
    LOSS_POSITIVE,
    POSITIVE,
    PR,
    PREDICTED,
    ROC,
    SCORE,
    WEIGHT,
)

TOP_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class _Sums:
    """What the metrics of a yes-or-no question are made of. Shape (w,) each, float64."""

    weight: Float64s
    score: Float64s
    positive: Float64s
    gaps: Float64s
    top: Float64s
    tally: Float64s

    def __getitem__(self, row: int) -> Float64s:
        """A row of `kernels.tally`."""
        found: Float64s = self.tally[row]
        return found


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        of: Its value for each resample.
        better: Whether less or more of it is better; "" when neither is.
        of_choice: Row of `kernels.tally` that, added up over the strategies, it is of a choice; None
            when that is the mean of the strategies.
        at_threshold: Whether a response has it only with a threshold.
    """

    of: Callable[[_Sums], Float64s]
    better: Literal["less", "more", ""] = "more"
    of_choice: int | None = None
    at_threshold: bool = False


_TABLE = {
    # Nats.
    "log_loss": Metric(
        lambda s: (s[LOSS_POSITIVE] + s[LOSS_NEGATIVE]) / s.weight, "less", of_choice=LOSS_POSITIVE
    ),
    # Squared error of the probabilities, for a choice summed over the strategies.
    "brier": Metric(lambda s: s[BRIER] / s.weight, "less", of_choice=BRIER),
    # Area under the curve: chance that a positive scores above a negative.
    "roc_auc": Metric(lambda s: s[ROC] / (s.positive * (s.weight - s.positive))),
    # Average precision; where all are positive it says nothing.
    "pr_auc": Metric(
        lambda s: np.where(
            s.positive * (s.weight - s.positive) > 0, s[PR] / s.positive, np.nan
        )
    ),
    "accuracy": Metric(
        lambda s: (s.weight - s.positive - s[PREDICTED] + 2 * s[HIT]) / s.weight,
        of_choice=HIT, at_threshold=True,
    ),
    "precision": Metric(lambda s: s[HIT] / s[PREDICTED], at_threshold=True),
    "recall": Metric(lambda s: s[HIT] / s.positive, at_threshold=True),
    "f1": Metric(
        lambda s: np.where(s.positive > 0, 2 * s[HIT] / (s[PREDICTED] + s.positive), np.nan),
        at_threshold=True,
    ),
    # How many times more positives the tenth with the highest scores has than an average tenth.
    "lift_top_10_percent": Metric(lambda s: s.top / (TOP_SHARE * s.positive)),
    # Mean distance of predicted and observed rate over bins of equal weight.
    "calibration_error": Metric(lambda s: s.gaps / s.weight, "less"),
    # Predicted over observed positives.
    "calibration_ratio": Metric(lambda s: s.score / s.positive, ""),
    "predicted_rate": Metric(lambda s: s.score / s.weight, ""),
    "observed_rate": Metric(lambda s: s.positive / s.weight, ""),
}  # fmt: skip
"""Every metric. A new one is a row; docs/training.md says what the main ones mean."""

METRICS = tuple(_TABLE)
LOWER_IS_BETTER = frozenset(name for name, metric in _TABLE.items() if metric.better == "less")
UNDIRECTED = frozenset(name for name, metric in _TABLE.items() if not metric.better)
AT_THRESHOLD = tuple(name for name, metric in _TABLE.items() if metric.at_threshold)

_EDGE = 1e-7  # of probabilities in the log loss: a certain mistake costs 16 nats and not infinity


def log_losses(score: Float64s, positive: Bools) -> Float64s:
    """Negative log-likelihood of each example in nats."""
    losses: Float64s = -np.log(np.clip(np.where(positive, score, 1.0 - score), _EDGE, 1.0))
    return losses


def binary(sums: Float64s, bins: Float64s, top: Float64s) -> Float64s:
    """Metrics of one yes-or-no question.

    Args:
        sums: Of `kernels.tally`. Shape (SUMS, w), float64.
        bins: Of `kernels.tally`. Shape (b, BIN_SUMS, w), float64.
        top: Positives among the `TOP_SHARE` with the highest scores. Shape (w,), float64.

    Returns:
        Shape (len(METRICS), w), float64.
    """
    weight, score, positive = bins.sum(axis=0)
    gaps = np.abs(bins[:, SCORE] - bins[:, POSITIVE]).sum(axis=0)
    found = _Sums(weight, score, positive, gaps, top, sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _finite(np.stack([metric.of(found) for metric in _TABLE.values()]))


def macro(strategies: Float64s) -> Float64s:
    """Mean over the strategies that have the metric in the sample itself.

    Args:
        strategies: Metrics of each; resample 0 is the sample. Shape (K, len(METRICS), w), float64.

    Returns:
        Shape (len(METRICS), w), float64.
    """
    known = np.isfinite(strategies[:, :, :1])
    with np.errstate(invalid="ignore"):
        mean: Float64s = np.where(known, strategies, 0.0).sum(axis=0) / known.sum(axis=0)
    return mean


def multiclass(sums: Float64s, bins: Float64s, strategies: Float64s) -> Float64s:
    """Metrics of a choice among K strategies.

    Log loss, Brier score and accuracy are those of the choice, the others the mean over strategies;
    rates say nothing about a choice and are NaN.

    Args:
        sums: Of each strategy against the others. Shape (K, SUMS, w), float64.
        bins: The same. Shape (K, b, BIN_SUMS, w), float64.
        strategies: Metrics of each. Shape (K, len(METRICS), w), float64.

    Returns:
        Shape (len(METRICS), w), float64.
    """
    values = macro(strategies)
    with np.errstate(invalid="ignore"):
        weight = bins[0, :, WEIGHT].sum(axis=0)
        for row, metric in zip(values, _TABLE.values(), strict=True):
            if metric.of_choice is not None:
                row[:] = sums[:, metric.of_choice].sum(axis=0) / weight
            elif not metric.better:
                row[:] = np.nan
    return _finite(values)


def _finite(values: Float64s) -> Float64s:
    return np.where(np.isfinite(values), values, np.nan)
