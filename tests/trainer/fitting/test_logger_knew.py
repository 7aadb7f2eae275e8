"""Whether the logger knew more than the features say: told by propensities that predict the outcome."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models import network
from stream.campaign.training import ModelSpec, TrainingSpec
from tests.trainer.examples.dataset_harness import part_of
from tests.trainer.fitting.fit_parts import STRATEGIES, run
from trainer.examples.part import Part
from trainer.fitting.logger_knew import has_propensities, what_they_knew
from trainer.fitting.predict import predict

LINEAR = ModelSpec(network="linear")


def logged(n: int, seed: int, hidden: float) -> Part:
    """The likelier a customer converts, the rarer strategy 0; part of why is hidden."""
    random = np.random.default_rng(seed)
    x, u = random.normal(size=(n, 2)), random.normal(size=n)
    odds = np.exp(np.outer(x[:, 0] + (u if hidden else 0.0), [-1.0, 1.0, 0.0]))
    share = 0.05 + 0.85 * odds / odds.sum(axis=1, keepdims=True)
    strategy = np.minimum((random.random((n, 1)) > share.cumsum(axis=1)).sum(axis=1), 2)
    logit = -1.5 + x[:, 0] + hidden * u + np.array([0.7, 0.0, 0.0])[strategy]
    part = part_of(x, strategy, random.random(n) < 1 / (1 + np.exp(-logit)))
    propensity = share[np.arange(n), strategy] / share.sum(axis=1)
    return replace(part, logged=replace(part.logged, propensity=propensity))


def test_what_the_logger_knew_is_found_and_made_up_for() -> None:
    part = logged(8000, 0, hidden=1.5)
    fitted = run(LINEAR, TrainingSpec(), part)
    assert fitted.knew is not None
    assert fitted.knew.p_value < 1e-6
    assert fitted.weighted
    plain = run(LINEAR, TrainingSpec(propensity_weights=False), part)
    assert (plain.knew, plain.weighted) == (None, False)
    gains = [
        (scores[:, 0] - scores[:, 2]).mean()
        for scores in (predict(fitted.model, part), predict(plain.model, part))
    ]
    truth = 0.1  # of an effect of 0.7 where the rate is 0.28 on average
    assert gains[0] == pytest.approx(truth, abs=0.04)
    assert gains[1] < 0.3 * truth, "it was used on those who would not convert anyway"


def test_what_the_features_say_needs_no_weights() -> None:
    weighted = [run(LINEAR, TrainingSpec(), logged(3000, s, hidden=0.0)).weighted for s in range(5)]
    assert not any(weighted)


def test_chances_that_are_equal_say_nothing() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(500, 3)).astype(np.float32)
    strategy, outcome = random.integers(0, 3, 500), (random.random(500) < 0.3).astype(float)
    found = what_they_knew(x, strategy, np.zeros(500), outcome, np.full(500, 1 / 3))
    assert found.p_value == 1.0
    assert not found.more


def test_the_test_is_right_as_often_as_it_says() -> None:
    found = []
    for seed in range(400):
        random = np.random.default_rng(seed)
        x = random.normal(size=(300, 2)).astype(np.float32)
        outcome = (random.random(300) < 1 / (1 + np.exp(-x[:, 0]))).astype(float)
        propensity = random.uniform(0.1, 1.0, 300)
        strategy = random.integers(0, 2, 300)
        found.append(what_they_knew(x, strategy, x[:, 0].astype(float), outcome, propensity))
    assert 0.02 < np.mean([one.p_value < 0.05 for one in found]) < 0.09


def test_propensities_have_to_be_there() -> None:
    part = logged(10, 0, hidden=0.0)
    assert has_propensities(part)
    part.logged.propensity[3] = np.nan
    assert not has_propensities(part)
    fitted = run(LINEAR, TrainingSpec(), part)
    assert (fitted.knew, fitted.weighted) == (None, False)
    assert network.weights(fitted.model)["delta/kernel"].shape[1] == STRATEGIES
