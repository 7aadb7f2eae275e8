"""The head by evidence: as much effect as the examples show, and no more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from trainer.fitting.shrinkage import Head, Seen, fit_head

OUTPUTS = 4
EFFECTS = (0.8, 0.0, 0.0, 0.0)  # of the constant; the second strategy turns with the second column


def world(n: int, seed: int, *, shares: Any = (1, 1, 1, 1), effects: bool = True) -> Seen:
    """Columns of five features, of which the first moves everybody and the second who got strategy 1."""
    random = np.random.default_rng(seed)
    x = random.normal(1.0, 1.0, (n, 6)).astype(np.float32)
    x[:, 5] = 3.0  # never moves
    share = np.array(shares) / np.sum(shares)
    strategy = random.choice(OUTPUTS, n, p=share)
    logit = -2.0 + 0.7 * x[:, 0]
    if effects:
        logit = logit + np.array(EFFECTS)[strategy] + (strategy == 1) * 1.2 * x[:, 1]
    outcome = random.random(n) < 1 / (1 + np.exp(-logit))
    group = np.array([0, 1, 2, 3, 4, 5])
    return Seen(x, group, strategy, outcome, np.ones(n), np.arange(n))


def probabilities(head: Head, x: Any) -> Any:
    wide = np.column_stack([x, np.ones(len(x))]).astype(np.float64)
    return 1 / (1 + np.exp(-(wide @ head.base)[:, np.newaxis] - wide @ head.delta))


def oracle(seen: Seen, passes: int) -> Any:
    """The same in one dense system of all weights, of columns less their means: logits of the examples."""
    n, moves = len(seen.x), seen.x.std(axis=0) > 0
    x = np.column_stack([seen.x[:, moves] - seen.x[:, moves].mean(axis=0), np.ones(n)])
    q = x.shape[1]
    design = np.zeros((n, OUTPUTS + 1, q))  # base, common, own of each
    design[:, 0] = x
    treated = seen.strategy < OUTPUTS - 1
    design[treated, 1] = x[treated]
    design[np.flatnonzero(treated), 2 + seen.strategy[treated]] = x[treated]
    wide = design.reshape(n, -1)
    weights, precision = np.zeros(wide.shape[1]), np.full(wide.shape[1], 4.0)
    rate = seen.outcome.mean()
    weights[q - 1] = np.log(rate / (1 - rate))
    for turn in range(passes):
        precision[q - 1] = 1e-6
        p = 1 / (1 + np.exp(-wide @ weights))
        curve = wide.T @ (wide * (p * (1 - p))[:, np.newaxis]) + np.diag(precision)
        slope = wide.T @ (p - seen.outcome) + precision * weights
        weights = weights - np.linalg.solve(curve, slope)
        if turn > 1:
            shown = 1 - precision * np.diag(np.linalg.inv(curve))
            precision = np.clip(shown / np.maximum(weights**2, 1e-12), 0.1, 1e7)
    return wide @ weights


def test_blocks_find_what_one_dense_system_finds() -> None:
    seen = world(1500, 0)
    head = fit_head(seen, OUTPUTS)
    p = probabilities(head, seen.x)[np.arange(1500), seen.strategy]
    expected = oracle(seen, head.passes)
    np.testing.assert_allclose(np.log(p / (1 - p)), expected, atol=2e-3)


def test_who_reacts_to_what_is_found_and_nothing_else() -> None:
    head = fit_head(world(20_000, 1), OUTPUTS)
    assert head.delta[-1, 0] == pytest.approx(0.8, abs=0.15)
    assert head.delta[1, 1] == pytest.approx(1.2, abs=0.15)
    rest = head.delta[:-1].copy()
    rest[1, 1] = 0.0
    assert np.abs(rest).max() < 0.12
    assert not head.delta[:, -1].any(), "doing nothing changes nothing"
    assert not head.delta[5].any(), "what never moves says nothing"


def test_a_strategy_without_examples_does_nothing() -> None:
    head = fit_head(world(4000, 2, shares=(1, 1, 0, 1)), OUTPUTS)
    assert not head.delta[:, 2].any()
    assert head.shown[2] == 0


def test_a_strategy_of_few_examples_claims_little() -> None:
    """11 of its 30 had the outcome, of the others one in four."""
    gains = []
    for examples in (30, 3000):
        few = world(4000 + examples, 3, shares=(1, 0, 0, 1), effects=False)
        few.strategy[:examples] = 1
        few.outcome[:examples] = np.arange(examples) % 30 < 11
        p = probabilities(fit_head(few, OUTPUTS), few.x)
        gains.append((p[:, 1] - p[:, 3]).mean())
    assert 0.09 < gains[1] < 0.15
    assert 0 <= gains[0] < 0.65 * gains[1]


def test_without_any_effect_little_is_claimed() -> None:
    gains, unshrunken = [], []
    for seed in range(6):
        seen = world(3000, 10 + seed, effects=False)
        p = probabilities(fit_head(seen, OUTPUTS), seen.x)
        gains.append(np.abs(p[:, :-1] - p[:, -1:]).mean())
        arms = [seen.strategy == k for k in range(OUTPUTS)]
        one = [LogisticRegression(C=np.inf).fit(seen.x[a], seen.outcome[a]) for a in arms]
        q = np.column_stack([model.predict_proba(seen.x)[:, 1] for model in one])
        unshrunken.append(np.abs(q[:, :-1] - q[:, -1:]).mean())
    assert np.mean(gains) < 0.6 * np.mean(unshrunken)


def test_what_separates_outcomes_has_an_end() -> None:
    seen = world(60, 4)
    right = Seen(seen.x, seen.group, seen.strategy, seen.x[:, 0] > 1.0, seen.weight, seen.customer)
    head = fit_head(right, OUTPUTS)
    assert np.abs(head.base[:-1]).max() < 20


def test_weights_do_not_pretend_to_know_more() -> None:
    """Doubled weights are the same examples, and rare heavy ones show less than as many light ones."""
    seen = world(3000, 5)
    plain = fit_head(seen, OUTPUTS)
    double = fit_head(replace(seen, weight=seen.weight * 2), OUTPUTS)
    np.testing.assert_allclose(double.delta, plain.delta, atol=1e-6)
    heavy = np.where(np.arange(3000) % 20 == 0, 30.0, 0.1)
    few = fit_head(replace(seen, weight=heavy), OUTPUTS)
    assert few.shown.sum() < 0.7 * plain.shown.sum()


def test_one_customer_often_is_not_many_customers() -> None:
    seen = world(300, 6, effects=False)
    often = Seen(
        np.repeat(seen.x, 10, axis=0), seen.group, np.repeat(seen.strategy, 10),
        np.repeat(seen.outcome, 10), np.ones(3000), np.repeat(seen.customer, 10),
    )  # fmt: skip
    strangers = replace(often, customer=np.arange(3000))
    assert fit_head(often, OUTPUTS).shown.sum() < fit_head(strangers, OUTPUTS).shown.sum() - 1


@pytest.mark.parametrize("seed", range(3))
def test_where_nobody_buys_without_a_contact_it_comes_to_an_end(seed: int) -> None:
    """Whole steps of Newton's go past the answer there and back again."""
    random = np.random.default_rng(seed)
    seen = world(1_500, seed, shares=(2, 2, 0, 11))
    pieces = (5.0 * seen.x[:, :4] - 3.0).clip(0.0)
    x = np.column_stack([seen.x, pieces, seen.x[:, :2].clip(0.0) ** 3]).astype(np.float32)
    likes = (x[:, 1] > 1.0) == (seen.strategy == 0)
    outcome = likes & (random.random(len(x)) < 0.8) & (seen.strategy < OUTPUTS - 1)
    group = np.append(seen.group, [0, 1, 2, 3, 0, 1])
    head = fit_head(replace(seen, x=x, group=group, outcome=outcome), OUTPUTS)
    assert head.passes < 60
    said = probabilities(head, x)[np.arange(len(x)), seen.strategy]
    for strategy in (0, 1, OUTPUTS - 1):
        mine = seen.strategy == strategy
        assert said[mine].mean() == pytest.approx(outcome[mine].mean(), abs=0.03)
