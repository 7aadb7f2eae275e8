"""Evaluation: metrics against scikit-learn and loops, intervals that cover, ties without an order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from stream.campaign_training import EvaluationSpec
from stream.columns import Bools, Float32s, Float64s
from trainer.errors import TrainingError
from trainer.evaluation import bootstrap, metrics
from trainer.evaluation.evaluate import evaluate
from trainer.evaluation.evaluation import CANDIDATE, CHAMPION, Estimate, Evaluation, Group
from trainer.evaluation.judged import Judged, Scored
from trainer.evaluation.kernels import WIDTH
from trainer.evaluation.metrics import LOWER_IS_BETTER, METRICS, UNDIRECTED
from trainer.evaluation.ranking import BINS, Ranking
from trainer.evaluation.thresholds import FALLBACK, choose_thresholds, scored

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


NOT_IN_SKLEARN = {"lift_top_10_percent", "calibration_error"}


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


@given(st.integers(0, 2**32), st.integers(5, 50))
@settings(max_examples=20)
def test_a_resample_is_a_weighting_of_the_customers(seed: int, n: int) -> None:
    pick = np.random.default_rng(seed)
    order = np.argsort(-pick.choice(5, n), kind="stable")
    p = np.sort(pick.choice(pick.uniform(0.1, 0.9, 5), n))[::-1].copy()
    y, w = pick.random(n) < 0.4, pick.uniform(0.5, 2, n)
    customer = pick.integers(0, n, n).astype(np.int32)[order]
    counts = bootstrap.draw(n, seed, 0)
    found = metrics.binary(*Ranking(customer, w, y, p, p > 0.5).tally(counts))
    assert (counts[:, 0] == 1).all(), "resample 0 is the sample"
    assert (counts.sum(axis=0) == n).all()
    for r in (0, 1, 2, WIDTH - 1):
        weight = w * counts[customer, r]
        kept = weight > 0
        expected = oracle(y[kept], p[kept], p[kept] > 0.5, weight[kept]) if kept.any() else {}
        for metric, value in expected.items():
            assert found[METRICS.index(metric), r] == pytest.approx(value, abs=1e-9), metric


def test_the_resamples_are_other_ones_in_each_chunk_and_the_same_again() -> None:
    first, second = bootstrap.draw(50, 3, 0), bootstrap.draw(50, 3, 1)
    assert not (first[:, 1:] == second[:, 1:]).all()
    assert (first == bootstrap.draw(50, 3, 0)).all()
    drawn = np.concatenate([bootstrap.draw(200, 5, chunk) for chunk in (1, 2, 3)], axis=1)
    assert drawn.mean() == 1
    assert drawn.var() == pytest.approx(1 - 1 / 200, rel=0.05), "as of a multinomial"
    assert bootstrap.chunks(WIDTH - 1) == 1
    assert bootstrap.chunks(WIDTH) == 2


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


def test_a_gain_is_positive_when_the_candidate_is_better_also_in_losses() -> None:
    judged, near, far = better_and_worse()
    up = evaluate(judged, near, {CHAMPION: far}, EvaluationSpec(), seed=1)
    down = evaluate(judged, far, {CHAMPION: near}, EvaluationSpec(), seed=1)
    for metric in ("log_loss", "brier", "roc_auc", "pr_auc", "f1", "calibration_error"):
        gain, loss = up.all.gains[CHAMPION][metric], down.all.gains[CHAMPION][metric]
        assert gain.low is not None
        assert 0 < gain.low < gain.value, metric
        assert loss.value == pytest.approx(-gain.value)
        assert loss.high is not None
        assert loss.high < 0
        sign = -1 if metric in LOWER_IS_BETTER else 1
        difference = (
            up.all.metrics[CANDIDATE][metric].value - up.all.metrics[CHAMPION][metric].value
        )
        assert gain.value == pytest.approx(sign * difference)
    assert not UNDIRECTED & set(up.all.gains[CHAMPION])


def test_gains_are_paired() -> None:
    judged, near, far = better_and_worse()
    same = evaluate(judged, near, {CHAMPION: near}, QUICK, seed=1)
    assert set(same.all.gains[CHAMPION].values()) == {Estimate(0.0, 0.0, 0.0)}
    evaluation = evaluate(judged, near, {CHAMPION: far}, EvaluationSpec(), seed=1)
    width = {
        name: (found.high or 0) - (found.low or 0)
        for name, found in (
            ("gain", evaluation.all.gains[CHAMPION]["log_loss"]),
            ("candidate", evaluation.all.metrics[CANDIDATE]["log_loss"]),
            ("champion", evaluation.all.metrics[CHAMPION]["log_loss"]),
        )
    }
    assert width["gain"] < 0.8 * math.hypot(width["candidate"], width["champion"])


def test_the_comparison_of_the_gate_is_that_of_the_evaluation() -> None:
    judged, near, far = better_and_worse()
    evaluation = evaluate(judged, near, {"rule": near, CHAMPION: far}, QUICK, seed=5)
    comparison = evaluation.comparison("roc_auc")
    assert comparison.gain == evaluation.all.gains[CHAMPION]["roc_auc"]
    assert [one.name for one in comparison.slices] == [*NAMES, "odd"]
    assert comparison.slices[-1].rows == judged.slices["odd"].sum()
    assert comparison.slices[-1].gain == group(evaluation, "odd").gains[CHAMPION]["roc_auc"]
    with pytest.raises(KeyError):
        evaluation.comparison("roc_auc", "nobody")


def test_the_seed_decides_everything_and_intervals_alone_depend_on_it() -> None:
    judged, near, far = better_and_worse(500)
    one, same, other = (
        evaluate(judged, near, {CHAMPION: far}, QUICK, seed=seed) for seed in (1, 1, 2)
    )
    assert one.encode() == same.encode()
    assert one != other
    assert values(one, "all") == values(other, "all")


def test_few_customers_have_no_interval() -> None:
    n = bootstrap.CUSTOMERS_MIN
    for customers in (n - 1, n):
        judged = response(np.zeros(40), np.arange(40) % 3 == 0, np.arange(40) % customers)
        evaluation = evaluate(
            judged, Scored(spread(np.full(40, 0.3)), np.full(3, 0.2)), {}, QUICK, 1
        )
        assert (evaluation.all.metrics[CANDIDATE]["log_loss"].low is None) == (customers < n)


def test_an_interval_needs_nearly_all_resamples() -> None:
    draws = np.concatenate([[0.5], np.linspace(0, 1, 101)])
    found = bootstrap.estimate(draws, 100, 0.5)
    assert found == Estimate(0.5, 0.25, 0.75)
    draws[1:10] = np.nan
    assert bootstrap.estimate(draws, 100, 0.9) != Estimate(0.5, None, None)
    draws[1:13] = np.nan
    assert bootstrap.estimate(draws, 100, 0.9) == Estimate(0.5, None, None)
    draws[0] = np.nan
    assert bootstrap.estimate(draws, 100, 0.9) is None
    biased = np.concatenate([[0.1], np.linspace(0.2, 0.3, 100)])
    found = bootstrap.estimate(biased, 100, 0.9)
    assert found is not None
    assert found.low == 0.1, "the interval holds the number"
    mirrored = bootstrap.estimate(-biased, 100, 0.9)
    assert mirrored is not None
    assert mirrored.high == -0.1


def covers(estimate: Estimate, truth: float) -> bool:
    return estimate.low is not None and estimate.high is not None and (
        estimate.low <= truth <= estimate.high
    )  # fmt: skip


def test_intervals_cover_when_customers_are_drawn_and_do_not_when_rows_are() -> None:
    """Customers differ in how often they convert; the mean over customers is 0.2."""
    spec = EvaluationSpec(resamples=WIDTH - 1)
    pick = np.random.default_rng(11)
    clustered = rows = 0
    simulations = 150
    for seed in range(simulations):
        customer = np.repeat(np.arange(80), 8)
        y = pick.random(640) < pick.beta(0.5, 2, 80)[customer]
        scores = Scored(spread(np.full(640, 0.2)), np.full(3, 0.5))
        for judged in (response(np.zeros(640), y, customer), response(np.zeros(640), y)):
            evaluation = evaluate(judged, scores, {}, spec, seed)
            inside = covers(evaluation.all.metrics[CANDIDATE]["observed_rate"], 0.2)
            clustered += inside and judged.customer[1] == 0
            rows += inside and judged.customer[1] == 1
    assert 0.90 <= clustered / simulations <= 0.99
    assert rows / simulations < 0.8


def f1(y: Bools, predicted: Bools, w: Float64s) -> float:
    return float(2 * (w @ (y & predicted)) / (w @ y + w @ predicted))


@given(st.integers(0, 2**32))
@settings(max_examples=20)
def test_thresholds_have_the_highest_f1(seed: int) -> None:
    pick = np.random.default_rng(seed)
    n = 60
    strategy = np.concatenate([[0, 1], pick.integers(0, 2, n - 2)])
    y = np.concatenate([[True, True], pick.random(n - 2) < 0.3])
    p = pick.choice(pick.uniform(0, 1, 15), n).astype(np.float32)
    w = pick.choice([1.0, 2.0], n)
    found = choose_thresholds(response(strategy, y, weight=w), spread(p))
    assert found is not None
    for k, rows in ((0, strategy == 0), (1, strategy == 1), (2, strategy < 2)):
        one, score, weight = y[rows], p[rows].astype(np.float64), w[rows]
        best = max((f1(one, score >= t, weight), t) for t in np.unique(score))
        assert found[k] == best[1], "of equals the highest; a strategy never used has that of all"


def test_thresholds_without_a_conversion_and_of_a_choice() -> None:
    nobody = response([0, 1, 2], [False, False, False])
    assert choose_thresholds(nobody, spread([0.1, 0.2, 0.3])) == pytest.approx(FALLBACK)
    empty = response([], [])
    assert choose_thresholds(empty, spread([])) == pytest.approx(FALLBACK)
    assert choose_thresholds(choice([0, 1]), spread([0.1, 0.2])) is None


def test_thresholds_never_see_the_test() -> None:
    judged, near, _ = better_and_worse(900)
    validation = response(judged.strategy[:400], judged.outcome[:400])
    on_validation, on_test = near.scores[:400], near.scores[400:]
    found = []
    for shuffled in (False, True):
        outcome = judged.outcome[400:].copy()
        if shuffled:
            np.random.default_rng(0).shuffle(outcome)
        test = response(judged.strategy[400:], outcome)
        found.append(evaluate(test, scored(validation, on_validation, on_test), {}, QUICK, seed=1))
    assert found[0].thresholds == found[1].thresholds
    assert values(found[0], "all")["f1"] != values(found[1], "all")["f1"]
    chosen = choose_thresholds(validation, on_validation)
    assert chosen is not None
    assert found[0].thresholds[CANDIDATE] == dict(zip(NAMES, chosen.tolist(), strict=True))


def test_every_number_is_finite_and_what_is_not_defined_is_absent() -> None:
    for outcome in ([False] * 30, [True] * 30):
        judged = response(np.arange(30) % 3, outcome)
        evaluation = evaluate(
            judged, Scored(spread(np.linspace(0, 1, 30)), np.full(3, 2.0)), {}, QUICK, seed=1
        )
        found = values(evaluation, "all")
        assert not {"roc_auc", "pr_auc", "precision"} & set(found)
        assert math.isfinite(found["log_loss"]), "also where 0 or 1 was said and wrong"
        assert ("f1" in found) == outcome[0]
        text = evaluation.encode()
        assert b"NaN" not in text
        assert b"Infinity" not in text
        assert Evaluation.decode(text) == evaluation


def test_the_headline_is_flat() -> None:
    judged, near, far = better_and_worse(500)
    evaluation = evaluate(judged, near, {CHAMPION: far}, QUICK, seed=1)
    headline = evaluation.headline()
    assert headline["rows"] == 500
    assert headline["roc_auc"] == values(evaluation, "all")["roc_auc"]
    assert (
        headline["contacted.lift_top_10_percent"]
        == (values(evaluation, "contacted")["lift_top_10_percent"])
    )
    assert headline["macro.f1"] == values(evaluation, "macro")["f1"]
    assert headline["strategy.mail.brier"] == values(evaluation, "mail")["brier"]
    assert not [name for name in headline if "odd" in name]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"scores": spread([0.1, math.nan, 0.3])},
            "scores of candidate: expected probabilities, got",
        ),
        ({"scores": spread([0.1, 1.2, 0.3])}, r"example 1 and the like for 1 of 3.*learning_rate"),
    ],
)
def test_what_is_no_probability_is_refused(wrong: Mapping[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        evaluate(
            response([0, 1, 2], [0, 1, 0]), Scored(**wrong, thresholds=np.ones(3)), {}, QUICK, 1
        )


def test_what_does_not_fit_is_refused() -> None:
    judged, right = response([0, 1, 2], [0, 1, 0]), spread([0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match=r"of rule: expected shape \(3, 3\), got \(2, 3\)"):
        evaluate(
            judged, Scored(right, np.ones(3)), {"rule": Scored(right[:2], np.ones(3))}, QUICK, 1
        )
    with pytest.raises(ValueError, match="thresholds of candidate"):
        evaluate(judged, Scored(right), {}, QUICK, 1)
    with pytest.raises(ValueError, match="expected 3 values in every column"):
        response([0, 1, 2], [0, 1])
    with pytest.raises(ValueError, match="expected examples with the outcome alone"):
        Judged("choice", NAMES, *[np.zeros(2, np.int64)] * 4, np.ones(2))
    with pytest.raises(TrainingError, match="expected test examples, got none"):
        evaluate(response([], []), Scored(spread([]), np.ones(3)), {}, QUICK, 1)
