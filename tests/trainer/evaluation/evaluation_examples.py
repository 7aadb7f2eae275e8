"""Examples with an outcome and scores, what scikit-learn says of them, and what an evaluation does."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from sklearn import metrics as sk

from stream.campaign.training import EvaluationSpec
from stream.columns import Bools, Float32s, Float64s
from trainer.evaluation.evaluation import CANDIDATE, Evaluation, Group
from trainer.evaluation.judged import Judged, Scored

START_MS = 1_700_000_000_000
NAMES = ("mail", "push", "nothing")
QUICK = EvaluationSpec(resamples=50)


def response(
    strategy: Any, outcome: Any, customer: Any = None, weight: Any = None, **slices: Bools
) -> Judged:
    n = len(strategy)
    return Judged(
        head="response",
        names=NAMES,
        strategy=np.asarray(strategy, np.int64),
        outcome=np.asarray(outcome, np.bool_),
        customer=np.arange(n) if customer is None else np.asarray(customer, np.int64),
        time_ms=START_MS + np.arange(n) * 60_000,
        weight=np.ones(n) if weight is None else np.asarray(weight, np.float64),
        slices=slices,
    )


def choice(strategy: Any, weight: Any = None) -> Judged:
    n = len(strategy)
    ones = np.ones(n)
    return Judged(
        "choice", NAMES, np.asarray(strategy, np.int64), ones.astype(np.bool_), np.arange(n),
        START_MS + np.arange(n), ones if weight is None else weight,
    )  # fmt: skip


def spread(used: Any) -> Float32s:
    """The same score for every output, so that the strategy that was used has it."""
    return np.repeat(np.asarray(used, np.float32)[:, np.newaxis], len(NAMES), axis=1)


def group(evaluation: Evaluation, name: str) -> Group:
    return next(one for one in evaluation.groups if one.name == name)


def values(evaluation: Evaluation, name: str, model: str = CANDIDATE) -> dict[str, float]:
    return {key: found.value for key, found in group(evaluation, name).metrics[model].items()}


def oracle(y: Bools, p: Float64s, predicted: Bools, w: Float64s) -> dict[str, float]:
    """scikit-learn's answers; what it warns about or makes up is left out."""
    found = {
        "log_loss": sk.log_loss(y, p, sample_weight=w, labels=[False, True]),
        "brier": sk.brier_score_loss(y, p, sample_weight=w, labels=[False, True]),
        "accuracy": sk.accuracy_score(y, predicted, sample_weight=w),
        "observed_rate": np.average(y, weights=w),
        "predicted_rate": np.average(p, weights=w),
    }
    if y.any():
        found["recall"] = sk.recall_score(y, predicted, sample_weight=w)
        found["f1"] = sk.f1_score(y, predicted, sample_weight=w)
        found["calibration_ratio"] = (w @ p) / (w @ y)
    if predicted.any():
        found["precision"] = sk.precision_score(y, predicted, sample_weight=w, zero_division=0)
    if y.any() and not y.all():
        found["roc_auc"] = sk.roc_auc_score(y, p, sample_weight=w)
        found["pr_auc"] = sk.average_precision_score(y, p, sample_weight=w)
    return {name: float(value) for name, value in found.items()}


@st.composite
def examples(draw: st.DrawFn) -> tuple[Judged, Float32s, Float64s]:
    """Few distinct scores, so that there are ties; often one class alone."""
    n = draw(st.integers(1, 60))
    pick = np.random.default_rng(draw(st.integers(0, 2**32)))
    levels = pick.uniform(0.01, 0.99, draw(st.integers(1, 12))).astype(np.float32)
    rate = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    judged = response(
        pick.integers(0, 3, n), pick.random(n) < rate, pick.integers(0, max(1, n // 2), n),
        pick.choice([0.5, 1.0, 3.0], n), early=np.arange(n) < n // 2,
    )  # fmt: skip
    return judged, pick.choice(levels, (n, 3)), pick.choice(levels, 3).astype(np.float64)


def better_and_worse(n: int = 3_000) -> tuple[Judged, Scored, Scored]:
    pick = np.random.default_rng(2)
    z = pick.normal(-2, 1.2, n)
    y = pick.random(n) < 1 / (1 + np.exp(-z))
    judged = response(
        pick.integers(0, 3, n), y, pick.integers(0, n // 3, n), odd=np.arange(n) % 2 > 0
    )
    near, far = (
        Scored(spread(1 / (1 + np.exp(-(z + pick.normal(0, noise, n))))), np.full(3, 0.25))
        for noise in (0.1, 1.5)
    )
    return judged, near, far
