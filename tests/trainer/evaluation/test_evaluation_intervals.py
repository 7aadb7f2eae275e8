"""Evaluation: resamples of customers, intervals that cover, paired differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.campaign.training import EvaluationSpec
from stream.columns import Bools, Float64s
from tests.trainer.evaluation.evaluation_examples import (
    QUICK,
    better_and_worse,
    oracle,
    response,
    spread,
    values,
)
from trainer.evaluation import bands, bootstrap, metrics
from trainer.evaluation.evaluate import evaluate, evaluate_unseen
from trainer.evaluation.evaluation import CANDIDATE, CHAMPION, Estimate, Evaluation, Point
from trainer.evaluation.judged import Rival, Scored
from trainer.evaluation.kernels import WIDTH
from trainer.evaluation.metrics import LOWER_IS_BETTER, METRICS, UNDIRECTED
from trainer.evaluation.ranking import Ranking


@given(st.integers(0, 2**32), st.integers(5, 50))
@settings(max_examples=20)
def test_a_resample_is_a_weighting_of_the_customers(seed: int, n: int) -> None:
    pick = np.random.default_rng(seed)
    order = np.argsort(-pick.choice(5, n), kind="stable")
    p = np.sort(pick.choice(pick.uniform(0.1, 0.9, 5), n))[::-1].copy()
    y, w = pick.random(n) < 0.4, pick.uniform(0.5, 2, n)
    customer = pick.integers(0, n, n).astype(np.int32)[order]
    counts = bootstrap.draw(n, seed, 0)
    tally = Ranking(customer, w, y, p, p > 0.5).tally(counts)
    found = metrics.binary(tally.sums, tally.bins, tally.top)
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


@pytest.mark.slow
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


def curve_points(y: Bools, p: Float64s, w: Float64s, at: Float64s) -> dict[str, Float64s]:
    """Gain, ROC and precision-recall curves through every example; no scores are equal."""
    order = np.argsort(-p)
    weight = np.append(0, np.cumsum(w[order]))
    hit = np.append(0, np.cumsum((w * y)[order]))
    miss = weight - hit
    reached = np.array([weight[np.argmax(hit >= x * hit[-1] - 1e-12)] for x in at])
    return {
        "gain_band": np.interp(at, weight / weight[-1], hit / hit[-1]),
        "roc_band": np.interp(at, miss / miss[-1], hit / hit[-1]),
        "pr_band": at * hit[-1] / reached,
    }


def test_bands_are_those_of_the_curves_of_resampled_customers() -> None:
    judged, near, _ = better_and_worse(2_000)
    spec = EvaluationSpec(resamples=WIDTH - 1)
    found = evaluate(judged, near, {}, spec, seed=4).all.curves[CANDIDATE]
    customer = np.unique(judged.customer, return_inverse=True)[1]
    counts = bootstrap.draw(int(customer.max()) + 1, 4, 0)
    p = near.scores[:, 0].astype(np.float64) + 1e-9 * np.arange(2_000)
    drawn = [
        curve_points(judged.outcome, p, counts[customer, r].astype(np.float64), bands.AT)
        for r in range(WIDTH)
    ]
    for name in ("gain_band", "roc_band", "pr_band"):
        band: tuple[Point, ...] = getattr(found, name)
        assert [one.at for one in band] == pytest.approx(bands.AT, abs=1e-6)
        resampled = np.array([one[name] for one in drawn])
        low, high = np.quantile(resampled[1:], (0.025, 0.975), axis=0)
        expected = np.stack(
            [resampled[0], np.minimum(low, resampled[0]), np.maximum(high, resampled[0])], axis=1
        )
        shown = np.array([(one.value, one.low, one.high) for one in band])
        # A step is 1 % of the examples; within the first one precision is taken to be the same.
        assert shown[2:] == pytest.approx(expected[2:], abs=0.04 if name == "pr_band" else 0.01)
        assert all((one.high or 0) - (one.low or 1) > 0.005 for one in band[2:12])


def test_the_lift_of_tenths_is_what_the_gain_curve_rises() -> None:
    judged, near, _ = better_and_worse(2_000)
    curves = evaluate(judged, near, {}, QUICK, seed=4).all.curves[CANDIDATE]
    rise = 10 * np.diff(np.array(curves.gain)[::10])
    assert [one.value for one in curves.lift] == pytest.approx(rise, abs=1e-4)
    assert [one.at for one in curves.lift] == pytest.approx(np.arange(1, 11) / 10)
    assert all(
        one.low is not None and one.high is not None and one.low < one.value < one.high
        for one in curves.lift[:3]
    )


@pytest.mark.parametrize("customers", [5, 30])
@pytest.mark.parametrize("outcome", [False, True])
def test_bands_of_one_class_alone_and_of_few_customers(outcome: bool, customers: int) -> None:
    judged = response(np.zeros(30), np.full(30, outcome), np.arange(30) % customers)
    scores = Scored(spread(np.linspace(0.1, 0.9, 30)), np.full(3, 0.2))
    curves = evaluate(judged, scores, {}, QUICK, 1).all.curves[CANDIDATE]
    assert curves.roc_band == ()
    assert len(curves.gain_band) == (len(bands.AT) if outcome and customers == 30 else 0)
    assert len(curves.lift) == 10 * outcome


def test_many_estimates_are_the_estimates_of_each() -> None:
    draws = np.random.default_rng(0).random((7, 61))
    draws[2, 5] = np.nan
    for some in (draws, draws[:2], draws[3:]):
        for customers in (5, 50):
            assert bootstrap.estimates(some, customers, 0.9) == [
                bootstrap.estimate(one, customers, 0.9) for one in some
            ]


def test_the_champion_is_compared_where_it_has_seen_nothing() -> None:
    judged, near, far = better_and_worse(2_000)
    new = np.arange(2_000) >= 1_500
    found = evaluate_unseen(judged, near, {"rule": far}, Rival(far, new), QUICK, seed=1)
    assert found.models == (CANDIDATE, "rule")
    assert found.all.rows == 2_000, "the candidate is judged on all"
    beside = found.beside_champion
    assert beside is not None
    assert beside is found.unseen
    assert beside.models == (CANDIDATE, CHAMPION)
    assert beside.all.rows == 500
    assert beside == evaluate(judged.take(new), near.take(new), {CHAMPION: far.take(new)}, QUICK, 1)
    assert Evaluation.decode(found.encode()) == found


@pytest.mark.parametrize("seen", ["nothing", "everything"])
def test_a_champion_that_has_seen_nothing_or_everything(seen: str) -> None:
    judged, near, far = better_and_worse(500)
    new = np.full(500, seen == "nothing")
    found = evaluate_unseen(judged, near, {}, Rival(far, new), QUICK, seed=1)
    assert found.unseen is None
    assert found.beside_champion is (found if seen == "nothing" else None)
    assert (CHAMPION in found.models) == (seen == "nothing")
