"""Arms beside each other: what the features know of who was chosen is taken out, and nothing is said where one is alone."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from trainer.evaluation.offpolicy import overlap as of_overlap
from trainer.evaluation.offpolicy.arms import difference
from trainer.evaluation.offpolicy.nuisance import folds_of
from trainer.evaluation.offpolicy.overlap import Overlap, cross_fitted, overlap, whole_customers


def world(seed: int, effect: float = 0.0, pull: float = 1.0, n: int = 4000) -> Overlap:
    """Who buys anyway is contacted more; both are in the features. Two examples of each customer."""
    random = np.random.default_rng(seed)
    x = np.repeat(random.normal(size=(n // 2, 3)), 2, axis=0)
    treated = random.random(n) < 1 / (1 + np.exp(-pull * x[:, 0]))
    outcome = random.random(n) < np.clip(0.2 + 0.08 * x[:, 0] + effect * treated, 0, 1)
    return overlap(x, treated, outcome, np.full(n, np.nan), np.arange(n) // 2)


def test_a_placebo_by_past_behaviour_does_nothing_where_arms_are_alike() -> None:
    found = [world(seed) for seed in range(40)]
    plain = [one.plain for one in found if one.plain]
    alike = [one.alike for one in found if one.alike]
    assert np.mean([one.low for one in plain]) > 0.03, "as they are, contacts seem to sell"
    held = sum(one.low < 0 < one.high for one in alike)
    assert held >= 34  # 95 % of 40; fewer 1 % of the time
    values = [one.value for one in alike]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
    assert all(one.estimated for one in found)


def test_an_effect_is_found_beside_what_the_features_know() -> None:
    values = [one.alike.value for seed in range(20) if (one := world(seed, 0.06)).alike]
    assert np.mean(values) == pytest.approx(0.06, abs=0.01)


def test_who_has_nobody_like_them_is_left_out_and_counted() -> None:
    assert world(1, pull=0.3).left_out == 0
    steep = world(1, pull=3.0)
    assert 500 < steep.left_out < 4000
    n = 200
    apart = np.repeat([-3.0, 3.0], n // 2)[:, np.newaxis]
    found = overlap(apart, apart[:, 0] > 0, np.zeros(n), np.full(n, np.nan), np.arange(n))
    assert (found.left_out, found.alike) == (n, None)


def test_logged_probabilities_are_taken_as_they_are() -> None:
    random = np.random.default_rng(2)
    n = 3000
    x = random.normal(size=(n, 1))
    p = np.where(x[:, 0] > 0, 0.8, 0.2)
    treated = random.random(n) < p
    outcome = random.random(n) < np.where(x[:, 0] > 0, 0.5, 0.1)
    done = np.where(treated, p, 1 - p)
    found = overlap(x, treated, outcome, done, np.arange(n))
    assert (found.estimated, found.left_out) == (False, 0)
    assert found.alike is not None
    assert found.plain is not None
    assert found.alike == difference(outcome, treated, ~treated, 1 / done, np.arange(n))
    assert found.alike.low < 0 < found.alike.high
    assert found.plain.low > 0.1


def test_without_two_arms_nothing_is_said() -> None:
    x, n = np.zeros((40, 1)), 40
    nobody = overlap(x, np.ones(n, np.bool_), np.zeros(n), np.full(n, np.nan), np.arange(n))
    assert (nobody.plain, nobody.alike, nobody.untreated) == (None, None, 0)
    few = overlap(x, np.arange(n) > 5, np.zeros(n), np.full(n, np.nan), np.arange(n))
    assert few.alike is None
    assert few.plain is not None


def test_probabilities_are_those_of_a_library_on_the_other_folds() -> None:
    random = np.random.default_rng(5)
    x = random.normal(size=(600, 4))
    treated = random.random(600) < 1 / (1 + np.exp(-x[:, 0] + 0.5 * x[:, 1]))
    fold = folds_of(np.arange(600) // 3)
    expected = np.empty(600)
    for f in range(5):
        model = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(
            x[fold != f], treated[fold != f]
        )
        expected[fold == f] = model.predict_proba(x[fold == f])[:, 1]
    np.testing.assert_allclose(cross_fitted(x, treated, fold), expected, atol=1e-6)


def test_of_many_examples_whole_customers_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    customer = np.repeat(np.arange(2000), 2)
    assert whole_customers(customer).all()
    monkeypatch.setattr(of_overlap, "ROWS_MAX", 1000)
    some = whole_customers(customer)
    assert some.sum() == 1000
    assert (some[::2] == some[1::2]).all()
    assert whole_customers(customer[:0]).shape == (0,)
