"""Evaluation: thresholds that never saw the test, what is absent, what is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.columns import Bools, Float64s
from tests.trainer.evaluation.evaluation_examples import (
    NAMES,
    QUICK,
    better_and_worse,
    choice,
    response,
    spread,
    values,
)
from trainer.errors import TrainingError
from trainer.evaluation.evaluate import evaluate
from trainer.evaluation.evaluation import CANDIDATE, CHAMPION, Evaluation
from trainer.evaluation.judged import Judged, Scored
from trainer.evaluation.thresholds import FALLBACK, choose_thresholds, scored


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


def test_without_thresholds_nothing_that_needs_one_is_judged() -> None:
    judged, near, far = better_and_worse(500)
    others = {"rule": Scored(far.scores), CHAMPION: far}
    found = evaluate(judged, Scored(near.scores), others, QUICK, seed=1)
    whole = evaluate(judged, near, {"rule": far, CHAMPION: far}, QUICK, seed=1)
    needs_one = {"accuracy", "precision", "recall", "f1"}
    for before, after in zip(whole.groups, found.groups, strict=True):
        for model in (CANDIDATE, "rule"):
            assert needs_one <= set(before.metrics[model])
            expected = {k: v for k, v in before.metrics[model].items() if k not in needs_one}
            assert after.metrics[model] == expected, "the others are what they were"
        assert after.metrics[CHAMPION] == before.metrics[CHAMPION]
        assert not needs_one & set(after.gains[CHAMPION])
    assert set(found.thresholds) == {CHAMPION}


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


ZEROS = np.zeros(2, np.int64)


def test_what_does_not_fit_is_refused() -> None:
    judged, right = response([0, 1, 2], [0, 1, 0]), spread([0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match=r"of rule: expected shape \(3, 3\), got \(2, 3\)"):
        evaluate(
            judged, Scored(right, np.ones(3)), {"rule": Scored(right[:2], np.ones(3))}, QUICK, 1
        )
    with pytest.raises(ValueError, match="thresholds of candidate: expected none for choice"):
        evaluate(choice([0, 1, 2]), Scored(right, np.ones(3)), {}, QUICK, 1)
    with pytest.raises(ValueError, match="expected 3 values in every column"):
        response([0, 1, 2], [0, 1])
    with pytest.raises(ValueError, match="expected examples with the outcome alone"):
        Judged("choice", NAMES, ZEROS, ZEROS > 0, ZEROS, ZEROS, np.ones(2))
    with pytest.raises(TrainingError, match="expected test examples, got none"):
        evaluate(response([], []), Scored(spread([]), np.ones(3)), {}, QUICK, 1)
