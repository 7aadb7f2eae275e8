"""Evaluation: metrics against scikit-learn and loops, ties without an order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from stream.campaign.training import EvaluationSpec
from stream.columns import Float32s, Float64s
from tests.trainer.evaluation.evaluation_examples import (
    NAMES,
    QUICK,
    choice,
    examples,
    group,
    oracle,
    response,
    spread,
    values,
)
from trainer.evaluation import metrics
from trainer.evaluation.evaluate import evaluate
from trainer.evaluation.evaluation import CANDIDATE, Estimate
from trainer.evaluation.judged import Judged, Scored
from trainer.evaluation.metrics import METRICS, UNDIRECTED
from trainer.evaluation.ranking import BINS

NOT_IN_SKLEARN = {"lift_top_10_percent", "calibration_error"}


@pytest.mark.slow
@given(examples())
@settings(max_examples=40)
def test_metrics_of_a_response_are_those_of_scikit_learn(
    case: tuple[Judged, Float32s, Float64s],
) -> None:
    judged, scores, thresholds = case
    evaluation = evaluate(judged, Scored(scores, thresholds), {}, QUICK, seed=1)
    used = scores[np.arange(len(judged)), judged.strategy].astype(np.float64)
    masks = {name: judged.strategy == k for k, name in enumerate(NAMES)}
    masks |= {"all": judged.outcome | True, "contacted": judged.strategy != 2, **judged.slices}
    for name, mask in masks.items():
        if not mask.any():
            assert name not in {one.name for one in evaluation.groups}
            continue
        found = values(evaluation, name)
        predicted = used[mask] >= thresholds[judged.strategy[mask]]
        expected = oracle(judged.outcome[mask], used[mask], predicted, judged.weight[mask])
        assert set(found) - NOT_IN_SKLEARN == set(expected)
        for metric, value in expected.items():
            assert found[metric] == pytest.approx(value, abs=1e-9), (name, metric)
        assert group(evaluation, name).rows == mask.sum()
        assert group(evaluation, name).positives == judged.outcome[mask].sum()
        assert group(evaluation, name).customers == len(set(judged.customer[mask]))


def test_metrics_of_a_choice_are_those_of_scikit_learn() -> None:
    pick = np.random.default_rng(4)
    y, w = pick.integers(0, 3, 300), pick.uniform(0.5, 2, 300)
    scores = pick.dirichlet((1, 1, 1), 300)
    scores[np.arange(300), y] += 0.4
    scores = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    judged = choice(y, w)
    evaluation = evaluate(judged, Scored(scores), {}, QUICK, seed=1)
    found, p = values(evaluation, "all"), scores.astype(np.float64)
    p /= p.sum(axis=1, keepdims=True)  # scikit-learn wants more than float32 adds up to
    label = scores.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(y, label, sample_weight=w))
    assert found["log_loss"] == pytest.approx(sk.log_loss(y, p, sample_weight=w), rel=1e-6)
    brier = sk.brier_score_loss(y, p, sample_weight=w, scale_by_half=False)
    assert found["brier"] == pytest.approx(brier, rel=1e-6)
    for metric, of in (("precision", sk.precision_score), ("recall", sk.recall_score)):
        assert found[metric] == pytest.approx(of(y, label, sample_weight=w, average="macro"))
    assert found["f1"] == pytest.approx(sk.f1_score(y, label, sample_weight=w, average="macro"))
    auc = sk.roc_auc_score(y, p, sample_weight=w, average="macro", multi_class="ovr")
    assert found["roc_auc"] == pytest.approx(auc, rel=1e-6)
    assert not UNDIRECTED & set(found), "a choice has no rate"
    one = values(evaluation, "push")
    assert one["roc_auc"] == pytest.approx(sk.roc_auc_score(y == 1, p[:, 1], sample_weight=w))
    assert one["recall"] == pytest.approx(sk.recall_score(y == 1, label == 1, sample_weight=w))
    assert group(evaluation, "push").positives == (y == 1).sum()
    assert evaluation.thresholds == {}


def test_a_slice_of_a_choice_is_judged_as_a_choice() -> None:
    pick = np.random.default_rng(4)
    y, part = pick.integers(0, 3, 200), pick.random(200) < 0.4
    scores = pick.dirichlet((1, 1, 1), 200).astype(np.float32)
    judged = choice(y)
    sliced = Judged(
        "choice", NAMES, judged.strategy, judged.outcome, judged.customer, judged.time_ms,
        judged.weight, {"some": part},
    )  # fmt: skip
    found = values(evaluate(sliced, Scored(scores), {}, QUICK, seed=1), "some")
    alone = values(evaluate(choice(y[part]), Scored(scores[part]), {}, QUICK, seed=1), "all")
    assert found == pytest.approx(alone)


def test_the_mean_over_strategies_leaves_out_what_is_not_defined() -> None:
    strategy = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    outcome = np.array([1, 0, 1, 0, 1, 0, 0, 0], np.bool_)
    scores = spread([0.9, 0.2, 0.1, 0.3, 0.6, 0.5, 0.4, 0.2])
    evaluation = evaluate(
        response(strategy, outcome), Scored(scores, np.full(3, 0.5)), {}, QUICK, seed=1
    )
    assert "roc_auc" not in values(evaluation, "nothing"), "nobody converted"
    mean = (values(evaluation, "mail")["roc_auc"] + values(evaluation, "push")["roc_auc"]) / 2
    assert values(evaluation, "macro")["roc_auc"] == pytest.approx(mean)
    drawn = np.full((2, len(METRICS), 3), 0.5)
    drawn[0, :, 1] = drawn[1, :, :2] = np.nan
    assert np.array_equal(metrics.macro(drawn)[0], [0.5, np.nan, 0.5], equal_nan=True), (
        "a resample without what the sample has is no other mean"
    )
    losses = [values(evaluation, name)["log_loss"] for name in NAMES]
    assert values(evaluation, "macro")["log_loss"] == pytest.approx(sum(losses) / 3)


def test_lift_and_gain_are_those_of_a_sorted_list() -> None:
    pick = np.random.default_rng(0)
    p = pick.permutation(np.linspace(0.01, 0.99, 200))
    y = pick.random(200) < p
    evaluation = evaluate(
        response(np.zeros(200), y), Scored(spread(p), np.full(3, 0.5)), {}, QUICK, seed=1
    )
    ranked = y[np.argsort(-p)]
    top = values(evaluation, "all")["lift_top_10_percent"]
    assert top == pytest.approx(ranked[:20].mean() / y.mean())
    gain = evaluation.all.curves[CANDIDATE].gain
    assert len(gain) == 101
    assert gain[0] == 0
    assert gain[100] == 1
    for percent in (1, 10, 37, 90):
        share = ranked[: 2 * percent].sum() / y.sum()
        assert gain[percent] == pytest.approx(share, abs=1e-6)


def test_calibration_error_is_the_mean_distance_over_bins_of_equal_size() -> None:
    pick = np.random.default_rng(0)
    p = pick.permutation(np.linspace(0.01, 0.99, 400))
    y = pick.random(400) < p**2
    evaluation = evaluate(
        response(np.zeros(400), y), Scored(spread(p), np.full(3, 0.5)), {}, QUICK, seed=1
    )
    order = np.argsort(p)
    bins = [order[start : start + 40] for start in range(0, 400, 40)]
    expected = np.mean([abs(p[rows].mean() - y[rows].mean()) for rows in bins])
    assert values(evaluation, "all")["calibration_error"] == pytest.approx(expected, abs=1e-6)
    shown = evaluation.all.curves[CANDIDATE].calibration
    assert len(shown) == BINS
    for one, rows in zip(shown, bins, strict=True):
        assert one.rows == 40
        assert one.predicted == pytest.approx(p[rows].mean(), abs=1e-6)
        assert one.observed.value == pytest.approx(y[rows].mean(), abs=1e-6)
        assert one.observed.low is not None
        assert one.observed.low <= one.observed.value


def test_a_model_that_says_what_happens_is_calibrated() -> None:
    pick = np.random.default_rng(8)
    p = pick.beta(1, 8, 20_000)
    y = pick.random(20_000) < p
    judged = response(np.zeros(20_000), y)
    right, twice = (
        evaluate(judged, Scored(spread(q), np.full(3, 0.2)), {}, EvaluationSpec(), seed=1)
        for q in (p, np.minimum(2 * p, 1))
    )
    assert values(right, "all")["calibration_error"] < 0.01
    ratio = right.all.metrics[CANDIDATE]["calibration_ratio"]
    assert ratio.low is not None
    assert ratio.high is not None
    assert ratio.low < 1 < ratio.high
    covered = [
        one.observed.low <= one.predicted <= one.observed.high
        for one in right.all.curves[CANDIDATE].calibration
        if one.observed.low is not None and one.observed.high is not None
    ]
    assert sum(covered) >= 8, "nearly all bins"
    assert values(twice, "all")["calibration_ratio"] == pytest.approx(2, rel=0.06)
    assert values(twice, "all")["calibration_error"] > 0.08


@given(st.integers(0, 2**32))
@settings(max_examples=10)
def test_a_constant_model_ranks_nobody_whatever_the_order(seed: int) -> None:
    pick = np.random.default_rng(seed)
    y = np.concatenate([np.ones(20), np.zeros(80)]).astype(np.bool_)
    pick.shuffle(y)
    evaluation = evaluate(
        response(np.zeros(100), y), Scored(spread(np.full(100, 0.3)), np.full(3, 0.2)), {}, QUICK, 1
    )
    found = values(evaluation, "all")
    assert found["roc_auc"] == 0.5
    assert found["pr_auc"] == pytest.approx(0.2)
    assert found["lift_top_10_percent"] == pytest.approx(1)
    assert found["calibration_error"] == pytest.approx(0.1, abs=1e-6)
    assert evaluation.all.curves[CANDIDATE].gain == pytest.approx(np.linspace(0, 1, 101))
    assert evaluation.all.metrics[CANDIDATE]["roc_auc"] == Estimate(0.5, 0.5, 0.5)


@given(examples(), st.integers(0, 2**32))
@settings(max_examples=20)
def test_the_order_of_the_examples_changes_nothing(
    case: tuple[Judged, Float32s, Float64s], seed: int
) -> None:
    judged, scores, thresholds = case
    order = np.random.default_rng(seed).permutation(len(judged))
    turned = Judged(
        "response", NAMES, judged.strategy[order], judged.outcome[order], judged.customer[order],
        judged.time_ms[order], judged.weight[order],
        {name: mask[order] for name, mask in judged.slices.items()},
    )  # fmt: skip
    one = evaluate(judged, Scored(scores, thresholds), {}, QUICK, seed=1)
    other = evaluate(turned, Scored(scores[order], thresholds), {}, QUICK, seed=1)
    for before, after in zip(one.groups, other.groups, strict=True):
        for metric, expected in before.metrics[CANDIDATE].items():
            found = after.metrics[CANDIDATE][metric]
            for name in ("value", "low", "high"):
                assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-9)
