"""Fitting: the network of a campaign file, one seed one network, the best epoch comes back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from models import network
from models.backend import keras
from models.contract import Normalization
from models.manifest import NetworkConfig
from stream.campaign.training import ModelSpec, TrainingSpec
from tests.trainer.examples.dataset_harness import part_of
from tests.trainer.fitting.fit_parts import FEATURES, LINEAR, customers, log_loss, run
from trainer.errors import TrainingError
from trainer.fitting.fit import Fitted
from trainer.fitting.network_config import network_config
from trainer.fitting.predict import predict, scores


def weight_bytes(fitted: Fitted) -> bytes:
    return b"".join(array.tobytes() for array in network.weights(fitted.model).values())


def test_a_campaign_file_describes_a_network() -> None:
    model = ModelSpec(network="dcn", head="choice", hidden=(64, 32), dropout=0.1, cross_rank=8)
    config = network_config(model, TrainingSpec(), 36, 10)
    assert config == NetworkConfig(
        network="dcn", head="choice", inputs=36, outputs=10, hidden=(64, 32), dropout=0.1,
        cross_layers=2, cross_rank=8,
    )  # fmt: skip


def test_the_example_of_the_handbooks_can_be_told() -> None:
    """784 pixels, one hidden layer of 32, shares of 10 digits."""
    config = network_config(ModelSpec(head="choice"), TrainingSpec(), 784, 10)
    sizes = [array.size for array in network.weights(network.build(config)).values()]
    assert sizes == [784 * 32, 32, 32 * 10, 10]


def test_what_a_network_does_not_use_is_left_out() -> None:
    spec = ModelSpec(network="linear", dropout=0.3, builder="mine:build", head="choice")
    assert network_config(spec, TrainingSpec(), 5, 2) == NetworkConfig(
        network="linear", head="choice", inputs=5, outputs=2
    )
    deep = network_config(msgspec.structs.replace(spec, network="mlp"), TrainingSpec(), 5, 2)
    assert (deep.cross_layers, deep.builder, deep.dropout) == (0, "", 0.3)
    own = network_config(msgspec.structs.replace(spec, network="custom"), TrainingSpec(), 5, 2)
    assert (own.builder, own.hidden, own.cross_layers) == ("mine:build", (32,), 2)


def test_a_rank_is_no_larger_than_the_features() -> None:
    assert network_config(ModelSpec(network="dcn"), TrainingSpec(), 5, 2).cross_rank == 5


@pytest.mark.parametrize(
    ("head", "given", "expected"),
    [
        ("response", {}, (1.0, 8.0)),
        ("choice", {}, (0.0, 0.0)),
        ("response", {"l2": 0.0, "delta_l2": 0.5}, (0.0, 0.5)),
        ("choice", {"l2": 0.1}, (0.1, 0.0)),
    ],
)
def test_penalties_are_those_of_the_head_unless_given(
    head: Any, given: Any, expected: tuple[float, float]
) -> None:
    config = network_config(ModelSpec(head=head), TrainingSpec(**given), 5, 2)
    assert (config.l2, config.delta_l2) == expected


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (ModelSpec(hidden=()), r"model: expected \['hidden'\] for network mlp"),
        (ModelSpec(network="custom"), r"model: expected \['builder'\] for network custom"),
        (ModelSpec(hidden=(8,) * 17), r"model: .*length <= 16"),
    ],
)
def test_a_network_that_cannot_be_is_the_operators_mistake(model: ModelSpec, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        network_config(model, TrainingSpec(), 5, 2)


# ---- fit ---


TRAINED = [
    ModelSpec(network="dcn", hidden=(8,), dropout=0.2, cross_rank=2),
    ModelSpec(network="custom", builder="tests.models.custom_networks:normalized", head="choice"),
]


@pytest.mark.slow
@pytest.mark.parametrize("model", TRAINED, ids=lambda model: model.network)
def test_the_seed_of_a_fit_decides_all_of_it(
    model: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.examples.part.BLOCK_ROWS", 40)  # 3 pools
    training = TrainingSpec(shrinkage="fixed", epochs=3)
    train, validation = customers(400), customers(100, seed=9)
    runs = [run(model, training, train, validation, seed) for seed in (1, 1, 2)]
    assert weight_bytes(runs[0]) == weight_bytes(runs[1]) != weight_bytes(runs[2])
    assert runs[0].losses == runs[1].losses
    assert runs[0].validation_losses == runs[1].validation_losses


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
def test_every_optimizer_finds_what_moves_customers(optimizer: Any) -> None:
    rate = {"sgd": 0.3}.get(optimizer, 0.02)
    training = TrainingSpec(
        shrinkage="fixed", optimizer=optimizer, learning_rate=rate, epochs=6, delta_l2=0.0, l2=0.0
    )
    train, validation = customers(3000), customers(3000, seed=1)
    fitted = run(LINEAR, training, train, validation, 1)
    constant = -np.log([1 - train.outcome.mean(), train.outcome.mean()])
    knows_nothing = constant[validation.outcome.astype(int)].mean()
    assert min(fitted.validation_losses) < 0.85 * knows_nothing
    assert fitted.losses[-1] < fitted.losses[0]


def test_weight_decay_leaves_the_base_rate_alone() -> None:
    part = part_of(np.zeros((200, FEATURES)), np.zeros(200), np.arange(200) % 50 == 0)
    training = TrainingSpec(
        shrinkage="fixed", optimizer="adamw", learning_rate=1.0, epochs=1, batch_size=200
    )
    fitted = run(LINEAR, training, part)
    start = np.log((4 + 0.5) / (196 + 0.5))
    biases = network.weights(fitted.model)
    # A first step of Adam is as long as the learning rate; decay would take 0.015 off the bias.
    assert biases["base/bias"][0] == pytest.approx(start - 1.0, abs=0.005)


@pytest.mark.slow
def test_the_told_losses_are_those_of_the_data() -> None:
    train, validation = customers(500), customers(200, seed=1)
    told: list[tuple[int, float, float | None]] = []
    training = TrainingSpec(shrinkage="fixed", epochs=3, l2=25.0, delta_l2=25.0)
    fitted = run(
        ModelSpec(hidden=(16,)), training, train, validation, 1,
        on_epoch=lambda *epoch: told.append(epoch),
    )  # fmt: skip
    assert [epoch for epoch, _, _ in told] == [1, 2, 3]
    assert tuple(loss for _, loss, _ in told) == fitted.losses
    assert tuple(loss for _, _, loss in told) == fitted.validation_losses
    assert fitted.epochs == 1 + int(np.argmin(fitted.validation_losses))
    assert log_loss(fitted.model, validation) == pytest.approx(
        min(fitted.validation_losses), rel=1e-5
    )
    alone = run(LINEAR, training, train, on_epoch=lambda *epoch: told.append(epoch))
    assert told[-1][2] is None
    assert (alone.epochs, alone.validation_losses) == (3, ())


@pytest.mark.slow
@pytest.mark.parametrize("l2", [0.0, 0.05])
def test_a_fit_that_gets_worse_stops_and_goes_back_to_its_best(l2: float) -> None:
    """Labels that are noise: what is learned of them by heart is wrong on others.

    With penalties the sum of loss and penalty falls for another 50 epochs.
    """
    random = np.random.default_rng(0)
    train, validation = (
        part_of(random.normal(size=(60, FEATURES)), np.zeros(60), random.random(60) < 0.5)
        for _ in range(2)
    )
    training = TrainingSpec(
        shrinkage="fixed",
        epochs=200,
        patience_epochs=4,
        learning_rate=0.02,
        l2=60 * l2,
        delta_l2=0.0,
    )
    fitted = run(ModelSpec(hidden=(64,)), training, train, validation, 1)
    best = int(np.argmin(fitted.validation_losses))
    assert fitted.epochs == best + 1
    assert len(fitted.validation_losses) == best + 1 + 4
    assert fitted.validation_losses[-1] > fitted.validation_losses[best] + 0.002
    assert log_loss(fitted.model, validation) == pytest.approx(
        fitted.validation_losses[best], rel=1e-5
    )


@pytest.mark.slow
def test_penalties_draw_strategies_together() -> None:
    part = customers(2000)
    spread = []
    for delta_l2 in (0.0, 2000.0):  # of 2,000 examples
        training = TrainingSpec(
            shrinkage="fixed", epochs=8, learning_rate=0.01, l2=0.0, delta_l2=delta_l2
        )
        kernel = network.weights(run(LINEAR, training, part).model)["delta/kernel"]
        spread.append(float(np.abs(kernel[1, 2] - kernel[1, 0])))
    assert spread[0] > 1.5, "the second feature sets the strategies apart by 2"
    assert spread[1] < 0.1 * spread[0]


def test_a_fit_that_loses_its_numbers_says_what_to_do() -> None:
    training = TrainingSpec(shrinkage="fixed", optimizer="sgd", learning_rate=1e20, epochs=3)
    dcn = ModelSpec(network="dcn", hidden=(8,))
    with pytest.raises(
        TrainingError, match=r"got NaN or infinity in .*Lower training.learning_rate"
    ):
        run(dcn, training, customers(500), customers(100, seed=1), 1)


def test_a_fit_that_diverges_says_what_to_do() -> None:
    training = TrainingSpec(optimizer="sgd", learning_rate=300.0, epochs=1, shrinkage="fixed")
    with pytest.raises(TrainingError, match=r"diverged, with sgd and learning rate 300. Lower"):
        run(LINEAR, training, customers(500), customers(100, seed=1), 1)


def test_the_last_step_of_a_fit_loses_no_numbers_unseen() -> None:
    part = customers(50)
    far = part_of(1e4 * part.values[0:50], part.strategy, part.outcome)
    training = TrainingSpec(
        shrinkage="fixed", optimizer="sgd", learning_rate=1e38, epochs=1, batch_size=50
    )
    with pytest.raises(TrainingError, match=r"got NaN or infinity in .*delta/kernel"):
        run(LINEAR, training, far)


def test_a_builder_that_fails_is_the_operators_mistake() -> None:
    model = ModelSpec(network="custom", builder="tests.models.custom_networks:raises")
    with pytest.raises(
        TrainingError, match=r"custom_networks:raises: RuntimeError: no weights today"
    ):
        run(model, TrainingSpec(), customers(50))


def test_callbacks_are_called_with_the_losses() -> None:
    seen = []

    class Watch(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no type information
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seen.append((logs["data_loss"], logs["val_data_loss"]))
            self.model.stop_training = True

    validation = customers(50, seed=1)
    fitted = run(
        LINEAR, TrainingSpec(shrinkage="fixed"), customers(100), validation, 1, callbacks=[Watch()]
    )
    assert seen == [(fitted.losses[0], fitted.validation_losses[0])]


def test_predictions_are_those_of_the_normalized_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.examples.part.BLOCK_ROWS", 40)
    normalization = Normalization(np.arange(FEATURES) / 3, np.full(FEATURES, 2.0), 1.0)
    whole = replace(customers(300), normalization=normalization)
    part = whole.take(np.arange(0, 300, 2))
    model = network.build(network_config(ModelSpec(hidden=(8,)), TrainingSpec(), FEATURES, 3), 1)
    values = part.values[0:300][::2]
    x = np.clip((values - normalization.mean) / 2.0, -1, 1).astype(np.float32)
    got = predict(model, part)
    assert got.shape == (150, 3)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, np.asarray(model(x)), atol=1e-6)
    np.testing.assert_allclose(scores(model, x), got, atol=1e-6)
    assert predict(model, part.take(np.arange(0))).shape == (0, 3)
