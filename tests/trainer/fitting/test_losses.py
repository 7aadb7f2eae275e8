"""Losses by hand, weights as repeated rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.campaign.training import LOSSES, ModelSpec, TrainingSpec
from tests.trainer.examples.dataset_harness import part_of
from tests.trainer.fitting.fit_parts import (
    FEATURES,
    LINEAR,
    STRATEGIES,
    chosen,
    customers,
    run,
)
from trainer.examples.part import Part
from trainer.fitting import losses
from trainer.fitting.network_config import network_config

STEADY = TrainingSpec(
    shrinkage="fixed", optimizer="sgd", learning_rate=0.5, l2=0.0, delta_l2=0.0, epochs=5
)
"""With batches of the whole part: gradient descent, which forgets the order of the rows."""


BY_HAND: dict[str, Callable[[Any, float], Any]] = {
    "cross_entropy": lambda p, _: -np.log(p),
    "focal": lambda p, gamma: -((1 - p) ** gamma) * np.log(p),
}
"""Each loss of the probability of what happened, and `focal_gamma`."""


def loss_by_hand(name: str, head: str, gamma: float, part: Part, logits: Any) -> Any:
    out = []
    for k, outcome, row in zip(part.strategy, part.outcome, logits.astype(np.float64), strict=True):
        if head == "choice":
            p = np.exp(row[k]) / np.exp(row).sum()
        else:
            p = 1 / (1 + np.exp(-row[k]))
            p = p if outcome else 1 - p
        out.append(BY_HAND[name](p, gamma))
    return np.array(out)


def loss_values(head: str, training: TrainingSpec, part: Part, logits: Any) -> Any:
    config = network_config(ModelSpec(head=head), training, FEATURES, STRATEGIES)  # type: ignore[arg-type]  # a parameter of the test
    loss = losses.loss_of(config, training)
    # Keras hands targets over as floats of shape (n,) or (n, 1).
    target = losses.targets(part, config).astype(np.float32)
    flat, column = loss(target, logits), loss(target[:, None], logits)
    assert np.asarray(flat).tobytes() == np.asarray(column).tobytes()
    return np.asarray(flat)


@settings(max_examples=30)
@given(
    name=st.sampled_from(list(LOSSES)),
    head=st.sampled_from(["choice", "response"]),
    gamma=st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0]),
    spread=st.sampled_from([0.1, 1.0, 6.0]),
    seed=st.integers(0, 1000),
)
def test_losses_are_those_of_the_papers(
    name: Any, head: str, gamma: float, spread: float, seed: int
) -> None:
    part = customers(20, seed)
    random = np.random.default_rng(seed)
    logits = (spread * random.normal(size=(20, STRATEGIES))).astype(np.float32)
    got = loss_values(
        head, TrainingSpec(shrinkage="fixed", loss=name, focal_gamma=gamma), part, logits
    )
    expected = loss_by_hand(name, head, gamma, part, logits)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    if name == "focal" and gamma == 0:
        plain = loss_values(head, TrainingSpec(), part, logits)
        assert got.tobytes() == plain.tobytes()


@pytest.mark.parametrize("head", ["choice", "response"])
@pytest.mark.parametrize(
    "loss", ["cross_entropy", "focal"]
)  # what is true of these two need not be of others
def test_a_network_that_is_sure_has_a_loss_and_a_gradient(head: Any, loss: Any) -> None:
    """Scores of 0 and 1 in float32, where a loss of scores instead of logits has no slope left."""
    from models.backend import tf

    training = TrainingSpec(shrinkage="fixed", loss=loss, focal_gamma=0.5)
    config = network_config(ModelSpec(head=head), training, FEATURES, STRATEGIES)
    part = part_of(np.zeros((2, FEATURES)), [0, 0], [True, True])
    logits = tf.constant([[-100.0, 0.0, 0.0], [100.0, 0.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = losses.loss_of(config, training)(losses.targets(part, config), logits)
    slope = tape.gradient(value, logits).numpy()
    assert value.numpy() == pytest.approx([100.0 if head == "response" else 100.7, 0.0], abs=0.1)
    assert slope[0, 0] == pytest.approx(-1.0, abs=1e-3)
    assert np.isfinite(slope).all()
    if head == "response":
        assert (slope[:, 1:] == 0).all(), "what was not done is not judged"


def repeated(part: Part, times: Any) -> Part:
    index = np.repeat(np.arange(len(part)), times)
    return part_of(
        part.values[0 : len(part.values)][part.rows[index]],
        part.strategy[index],
        part.outcome[index],
    )


def steady(model: ModelSpec, training: TrainingSpec, part: Part) -> tuple[float, ...]:
    training = msgspec.structs.replace(training, batch_size=len(part))
    return run(model, training, part).losses


def test_balanced_outcomes_count_as_if_the_rare_one_were_repeated() -> None:
    part = customers(400, base=-2.0)
    part = part.take(
        np.sort(np.r_[np.flatnonzero(part.outcome)[:60], np.flatnonzero(~part.outcome)[:180]])
    )
    balanced = msgspec.structs.replace(STEADY, class_weights="balanced")
    got = steady(LINEAR, balanced, part)
    assert got == pytest.approx(
        steady(LINEAR, STEADY, repeated(part, np.where(part.outcome, 3, 1))), rel=1e-5
    )
    assert got != pytest.approx(steady(LINEAR, STEADY, part), rel=1e-2)


def test_balanced_strategies_count_as_if_the_rare_ones_were_repeated() -> None:
    part = chosen(600)
    few = np.concatenate(
        [np.flatnonzero(part.strategy == k)[:n] for k, n in enumerate((60, 30, 20))]
    )
    part, choice = part.take(np.sort(few)), msgspec.structs.replace(LINEAR, head="choice")
    plain = msgspec.structs.replace(STEADY, class_weights="none")
    expected = steady(choice, plain, repeated(part, np.array([1, 2, 3])[part.strategy]))
    assert steady(choice, STEADY, part) == pytest.approx(expected, rel=1e-5), (
        "the default of choice"
    )
    assert steady(choice, plain, part) != pytest.approx(expected, rel=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("class_weights", ["none", "balanced"])
def test_a_weight_counts_as_if_the_row_were_repeated(class_weights: Any) -> None:
    part, choice = chosen(300), msgspec.structs.replace(LINEAR, head="choice")
    training = msgspec.structs.replace(STEADY, class_weights=class_weights)
    times = np.random.default_rng(3).integers(1, 5, len(part))
    weighed = replace(part, weight=times / times.mean())
    expected = steady(choice, training, repeated(part, times))
    assert steady(choice, training, weighed) == pytest.approx(expected, rel=1e-5)
    assert steady(choice, training, part) != pytest.approx(expected, rel=1e-3)


def test_a_class_of_one_example_does_not_drown_the_others() -> None:
    config = network_config(ModelSpec(head="choice"), TrainingSpec(), FEATURES, STRATEGIES)
    part = part_of(np.zeros((10_001, FEATURES)), [0] * 10_000 + [2], np.ones(10_001))
    factors = losses.class_factors(part, config, TrainingSpec())
    assert factors.tolist() == [pytest.approx(0.50005), 1.0, losses.CLASS_WEIGHT_MAX]
