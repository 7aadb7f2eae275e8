"""Metrics of predictions, for many resamples at once: names, directions, and how they come of sums.

Rules of this file
1. A metric that is not defined is NaN here, and absent in an `Evaluation`: an area under a curve
   with positives alone, the precision of a model that predicts nobody.
2. The last axis is the resample.
"""

from __future__ import annotations

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

METRICS = (
    "log_loss", "brier", "roc_auc", "pr_auc", "accuracy", "precision", "recall", "f1",
    "lift_top_10_percent", "calibration_error", "calibration_ratio", "predicted_rate",
    "observed_rate",
)  # fmt: skip
"""Log loss in nats. Brier score: squared error of the probabilities, for a choice summed over the
strategies. Area under the ROC curve: chance that a positive scores above a negative. pr_auc: average
precision. Lift: how many times more positives the tenth with the highest scores has than an average
tenth. Calibration error: mean distance of predicted and observed rate over bins of equal weight.
Calibration ratio: predicted over observed positives."""

LOWER_IS_BETTER = frozenset({"log_loss", "brier", "calibration_error"})
UNDIRECTED = frozenset({"calibration_ratio", "predicted_rate", "observed_rate"})
"""Neither more nor less of these is better."""
AT_THRESHOLD = ("accuracy", "precision", "recall", "f1")
"""Of a response: not defined without a threshold."""

TOP_SHARE = 0.1
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
    predicted, hit = sums[PREDICTED], sums[HIT]
    gaps = np.abs(bins[:, SCORE] - bins[:, POSITIVE]).sum(axis=0)
    both = positive * (weight - positive)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = {
            "log_loss": (sums[LOSS_POSITIVE] + sums[LOSS_NEGATIVE]) / weight,
            "brier": sums[BRIER] / weight,
            "roc_auc": sums[ROC] / both,
            "pr_auc": np.where(both > 0, sums[PR] / positive, np.nan),
            "accuracy": (weight - positive - predicted + 2 * hit) / weight,
            "precision": hit / predicted,
            "recall": hit / positive,
            "f1": np.where(positive > 0, 2 * hit / (predicted + positive), np.nan),
            "lift_top_10_percent": top / (TOP_SHARE * positive),
            "calibration_error": gaps / weight,
            "calibration_ratio": score / positive,
            "predicted_rate": score / weight,
            "observed_rate": positive / weight,
        }
    return _finite(np.stack([values[name] for name in METRICS]))


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
        for name, row in (("log_loss", LOSS_POSITIVE), ("brier", BRIER), ("accuracy", HIT)):
            values[METRICS.index(name)] = sums[:, row].sum(axis=0) / weight
    values[[METRICS.index(name) for name in sorted(UNDIRECTED)]] = np.nan
    return _finite(values)


def _finite(values: Float64s) -> Float64s:
    return np.where(np.isfinite(values), values, np.nan)
