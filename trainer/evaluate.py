"""How good a model predicts, in numbers that can be compared with knowing nothing.

Rules of this file
1. Arrays in, numbers out; every number is finite, one that cannot be computed is left out.
2. A metric stands beside the one that a model without features would get.
3. Only the output of the strategy that was used is judged: what the others would have done is not in
   the data.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream.columns import Bools, Float32s, Float64s, Int64s
from stream.policy import NOTHING

_EDGE = 1e-7


def response_metrics(
    scores: Float32s,
    strategy: Int64s,
    outcome: Bools,
    strategies: Sequence[str],
    base_rates: Float64s,
) -> dict[str, float]:
    """Metrics of a model with the head `response`.

    "contacted" leaves doing nothing out: telling contacted customers from others is easy where
    nobody converts without contact, and of no use.

    Args:
        scores: Probability of the outcome with each strategy. Shape (n, K), float32.
        strategy: What was used. Shape (n,), int64.
        outcome: Whether a conversion followed. Shape (n,), bool.
        strategies: Id of each output.
        base_rates: Mean outcome of each strategy in the training rows. Shape (K,), float64.
    """
    p = scores[np.arange(len(scores)), strategy].astype(np.float64)
    contacted = strategy != (strategies.index(NOTHING) if NOTHING in strategies else -1)
    metrics = {
        "rows": float(len(p)),
        "rows_contacted": float(contacted.sum()),
        "base_rate": _mean(outcome),
        "base_rate_contacted": _mean(outcome[contacted]),
        "predicted_rate_contacted": _mean(p[contacted]),
        "log_loss": log_loss(p, outcome),
        "log_loss_of_base_rates": log_loss(base_rates[strategy], outcome),
        "brier": _mean((p - outcome) ** 2),
        "brier_of_base_rates": _mean((base_rates[strategy] - outcome) ** 2),
        "auc": auc(p, outcome),
        "auc_contacted": auc(p[contacted], outcome[contacted]),
    }
    for k, name in enumerate(strategies):
        used = strategy == k
        metrics[f"{name}.rows"] = float(used.sum())
        metrics[f"{name}.base_rate"] = _mean(outcome[used])
        metrics[f"{name}.auc"] = auc(p[used], outcome[used])
    return _finite(metrics)


def choice_metrics(
    scores: Float32s, strategy: Int64s, strategies: Sequence[str], shares: Float64s
) -> dict[str, float]:
    """Metrics of a model with the head `choice`.

    Args:
        scores: Share of each strategy. Shape (n, K), float32.
        strategy: The right one. Shape (n,), int64.
        strategies: Id of each output.
        shares: Share of each strategy in the training rows. Shape (K,), float64.
    """
    p = scores[np.arange(len(scores)), strategy].astype(np.float64)
    metrics = {
        "rows": float(len(p)),
        "accuracy": _mean(scores.argmax(axis=1) == strategy),
        "accuracy_of_most_frequent": _mean(strategy == shares.argmax()),
        "log_loss": _mean(-np.log(np.maximum(p, _EDGE))),
        "log_loss_of_shares": _mean(-np.log(np.maximum(shares[strategy], _EDGE))),
    }
    for k, name in enumerate(strategies):
        metrics[f"{name}.rows"] = float((strategy == k).sum())
        metrics[f"{name}.auc"] = auc(scores[:, k], strategy == k)
    return _finite(metrics)


def log_loss(p: Float64s, outcome: Bools) -> float:
    """Mean negative log-likelihood in nats, NaN without rows."""
    p = np.clip(p, _EDGE, 1.0 - _EDGE)
    return _mean(-np.log(np.where(outcome, p, 1.0 - p)))


def auc(score: Float64s | Float32s, outcome: Bools) -> float:
    """Probability that a positive scores above a negative, ties counting one half.

    The rank statistic of Mann and Whitney; NaN unless there are both.
    """
    positives, n = int(outcome.sum()), len(outcome)
    if positives in (0, n):
        return float("nan")
    _, group, size = np.unique(score, return_inverse=True, return_counts=True)
    mid_rank = np.cumsum(size) - (size - 1) / 2.0
    ranks = float(mid_rank[group][outcome].sum())
    return (ranks - positives * (positives + 1) / 2.0) / (positives * (n - positives))


def _mean(values: Float64s | Bools) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _finite(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if np.isfinite(value)}
