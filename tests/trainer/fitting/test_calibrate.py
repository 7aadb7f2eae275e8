"""Calibration: what a loss bent is bent back, and folded into the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from sklearn.linear_model import LogisticRegression

from models import network
from stream.campaign.training import ModelSpec, TrainingSpec
from tests.trainer.examples.dataset_harness import part_of
from tests.trainer.fitting.fit_parts import (
    FEATURES,
    LINEAR,
    STRATEGIES,
    chosen,
    customers,
    log_loss,
    run,
)
from trainer.errors import TrainingError
from trainer.fitting import losses
from trainer.fitting.calibrate import (
    Calibration,
    calibrate_choice,
    calibrate_response,
    calibrated_like,
    fold,
)
from trainer.fitting.network_config import network_config
from trainer.fitting.predict import predict


def test_a_bent_response_is_bent_back() -> None:
    random = np.random.default_rng(1)
    true = random.normal(-2.0, 1.5, 40_000)
    outcome = (random.random(len(true)) < 1 / (1 + np.exp(-true))).astype(np.float64)
    bent = ((true - 1.0) / 2.5).astype(np.float32)
    found = calibrate_response(bent, outcome, np.ones(len(true)))
    assert found.scale == pytest.approx(2.5, rel=0.05)
    assert found.bias == pytest.approx(1.0, abs=0.05)
    assert found.applied
    best = -np.where(outcome > 0, true, -true)
    assert found.log_loss_after == pytest.approx(np.logaddexp(0, best).mean(), abs=1e-4)
    assert found.log_loss_before > found.log_loss_after + 0.02


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), n=st.integers(200, 500))
def test_the_calibration_of_a_response_is_a_logistic_regression(seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    logit = random.normal(size=n).astype(np.float32)
    outcome = random.random(n) < 1 / (1 + np.exp(-2 * logit + 1))
    weight = random.uniform(0.1, 3.0, n)
    found = calibrate_response(logit, outcome.astype(np.float64), weight)
    # 0.01 of an example says that the scale is 1: as a penalty on what the scale is beyond that of the logit.
    away = LogisticRegression(C=np.inf, tol=1e-10).fit(logit[:, None], outcome, weight)
    share = weight / weight.sum()

    def loss(theta: Any) -> float:
        u = theta[0] * logit.astype(np.float64) + theta[1]
        pulled = 0.005 / n * (theta[0] - 1) ** 2
        return float(share @ (np.logaddexp(0.0, u) - outcome * u) + pulled)

    start = [away.coef_[0, 0], away.intercept_[0]]
    exact = optimize.minimize(loss, start, method="Nelder-Mead", tol=1e-12).x
    assert found.scale == pytest.approx(exact[0], rel=1e-5)
    assert found.bias == pytest.approx(exact[1], abs=1e-5)
    assert found.log_loss_after <= found.log_loss_before


def test_a_bent_choice_is_bent_back() -> None:
    random = np.random.default_rng(1)
    true = 2.0 * random.normal(size=(20_000, STRATEGIES))
    strategy = (true + random.gumbel(size=true.shape)).argmax(axis=1)
    weight = random.uniform(0.5, 2.0, len(true))
    found = calibrate_choice((true / 3.0).astype(np.float32), strategy, weight)
    assert found.scale == pytest.approx(3.0, rel=0.03)
    assert found.bias == 0.0

    def by_hand(scale: float) -> float:
        u = scale * true / 3.0
        right = u[np.arange(len(u)), strategy]
        return float((weight * (np.log(np.exp(u).sum(axis=1)) - right)).sum() / weight.sum())

    assert found.log_loss_before == pytest.approx(by_hand(1.0), abs=1e-6)
    assert found.log_loss_after == pytest.approx(by_hand(found.scale), abs=1e-6)
    assert found.log_loss_after < min(by_hand(0.98 * found.scale), by_hand(1.02 * found.scale))


def test_scales_stay_finite_when_every_row_is_right() -> None:
    logit = np.array([-1.0, -2.0, 1.0, 2.0], np.float32)
    found = calibrate_response(logit, (logit > 0).astype(np.float64), np.ones(4))
    assert 1 < found.scale < 100
    sure = calibrate_choice(np.eye(3, dtype=np.float32), np.arange(3), np.ones(3))
    assert 1 < sure.scale < 100


def test_an_order_that_is_upside_down_is_not_turned() -> None:
    logit = np.linspace(-2, 2, 200).astype(np.float32)
    found = calibrate_response(logit, (logit < 0).astype(np.float64), np.ones(200))
    assert found.scale < 0
    assert not found.applied


@pytest.mark.parametrize("head", ["choice", "response"])
def test_scale_and_bias_are_folded_into_the_last_layer(head: Any) -> None:
    training = TrainingSpec(shrinkage="fixed", epochs=1, learning_rate=0.05)
    model = run(ModelSpec(head=head, hidden=(8,)), training, customers(300)).model
    x = np.random.default_rng(1).normal(size=(50, FEATURES)).astype(np.float32)
    before = np.asarray(network.logits(model)(x), np.float64)
    fold(model, head, Calibration(1.7, 0.0 if head == "choice" else -0.4, 1.0, 0.5))
    expected = 1.7 * before - (0.0 if head == "choice" else 0.4)
    np.testing.assert_allclose(np.asarray(network.logits(model)(x)), expected, atol=1e-5)


BENDING: list[Callable[[TrainingSpec], TrainingSpec]] = [
    lambda plain: msgspec.structs.replace(plain, loss="focal", focal_gamma=3.0),
    lambda plain: msgspec.structs.replace(plain, class_weights="balanced"),
]


@pytest.mark.slow
@pytest.mark.parametrize("bend", BENDING, ids=["focal", "balanced"])
def test_losses_that_bend_probabilities_end_in_honest_ones(
    bend: Callable[[TrainingSpec], TrainingSpec],
) -> None:
    plain = TrainingSpec(
        shrinkage="fixed", epochs=6, learning_rate=0.02, batch_size=128, l2=0.0, delta_l2=0.0
    )
    train, validation, later = (customers(6000, seed, base=-3.0) for seed in range(3))
    model = ModelSpec(hidden=(8,))
    straight = run(model, plain, train, validation, 1)
    assert straight.calibration is None
    bent = run(model, bend(plain), train, validation, 1)
    assert bent.calibration is not None
    assert bent.calibration.applied
    assert bent.calibration.log_loss_before > bent.calibration.log_loss_after + 0.05
    assert log_loss(bent.model, validation) == pytest.approx(
        bent.calibration.log_loss_after, abs=1e-5
    )
    assert log_loss(bent.model, later) < log_loss(straight.model, later) + 0.01
    used = predict(bent.model, later)[np.arange(len(later)), later.strategy]
    assert used.mean() == pytest.approx(later.outcome.mean(), rel=0.15)
    unjudged = run(model, bend(plain), train)
    assert unjudged.calibration is not None
    assert unjudged.calibration.applied, "without later data, on what was learned from"


@pytest.mark.slow
def test_a_focal_choice_is_calibrated_to_the_balance_it_learned() -> None:
    model = ModelSpec(network="linear", head="choice")
    training = TrainingSpec(
        loss="focal", focal_gamma=3.0, epochs=10, learning_rate=0.05, batch_size=128
    )
    train, validation = chosen(4000), chosen(4000, seed=1)
    plain = run(
        model, msgspec.structs.replace(training, loss="cross_entropy"), train, validation, 1
    )
    assert plain.calibration is None, "balanced strategies are what a choice is asked for"
    focal = run(model, training, train, validation, 1)
    assert focal.calibration is not None
    assert focal.calibration.applied
    assert focal.calibration.log_loss_after == pytest.approx(min(plain.validation_losses), rel=0.02)
    assert focal.calibration.log_loss_before > 1.03 * focal.calibration.log_loss_after
    config = network_config(model, training, FEATURES, STRATEGIES)
    weight = losses.row_weights(validation, config, losses.class_factors(train, config, training))
    shares = np.average(predict(focal.model, validation), axis=0, weights=weight)
    np.testing.assert_allclose(shares, 1 / 3, atol=0.05)


@pytest.mark.slow
def test_calibration_needs_both_outcomes() -> None:
    validation = customers(100, seed=1)
    validation = replace(validation, outcome=np.zeros(100, np.bool_))
    with pytest.raises(TrainingError, match=r"both outcomes in the validation part.*got 0 conv"):
        run(
            LINEAR,
            TrainingSpec(shrinkage="fixed", loss="focal", epochs=1),
            customers(200),
            validation,
            1,
        )


def test_a_rule_gets_what_a_network_gets() -> None:
    """Rates that drifted: 10 % were learned, one in five converted since."""
    check = part_of(np.zeros((1000, 1)), np.zeros(1000), np.arange(1000) % 5 == 0)
    rates = np.full((1000, 2), 0.1, np.float32)
    on_check, on_test = calibrated_like(check, rates, rates[:3])
    np.testing.assert_allclose(on_check[:, 0], 0.2, atol=1e-3)
    assert on_test.shape == (3, 2)
    np.testing.assert_allclose(on_test, 0.2, atol=1e-3)
    nobody = part_of(np.zeros((10, 1)), np.zeros(10), np.zeros(10))
    assert (calibrated_like(nobody, rates[:10], rates[:3])[0] == rates[:10]).all()
