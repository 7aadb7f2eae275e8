"""Fits the network of a campaign to examples.

Rules of this file
1. One seed, one result: initialisation, order of the rows and arithmetic follow from it, on one type
   of machine.
2. Outcomes are never reweighted. The policy multiplies probabilities with money, so a rare outcome
   has to stay as rare as it is; that it is rare is told to the network as its first bias.
3. Choices are reweighted by how often each strategy was used: that is no merit of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from models import network
from models.backend import keras
from models.contract import Float32s
from models.manifest import NetworkConfig
from stream.campaign_training import TrainingSpec
from stream.columns import Bools, Int64s

PATIENCE_EPOCHS = 5
"""Epochs without a lower validation loss before the fit stops and goes back to the best weights."""
_WEIGHT_MAX = 10.0
_UNUSED = -1.0
_ROWS_PER_CALL = 8192

OnEpoch = Callable[[int, float, float | None], None]
"""Called with the number of the epoch from 1 on, its training loss and its validation loss."""


@dataclass(frozen=True, slots=True)
class Samples:
    """n examples as the network eats them.

    Attributes:
        x: Normalized features. Shape (n, F), float32.
        strategy: Output that was used. Shape (n,), int64.
        outcome: Whether a conversion followed. Shape (n,), bool.
    """

    x: Float32s
    strategy: Int64s
    outcome: Bools

    def __len__(self) -> int:
        return len(self.strategy)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted network.

    Attributes:
        model: The Keras model.
        epochs: Epochs that its weights have seen.
        losses: Training loss of each epoch.
        validation_losses: Validation loss of each epoch, empty without validation.
    """

    model: Any
    epochs: int
    losses: tuple[float, ...]
    validation_losses: tuple[float, ...]


def fit(
    config: NetworkConfig,
    training: TrainingSpec,
    train: Samples,
    validation: Samples,
    seed: int,
    on_epoch: OnEpoch | None = None,
) -> Fitted:
    """Fits a new network, stopping when the validation loss has not fallen for a while.

    Args:
        config: The network.
        training: Optimizer, learning rate, epochs and batch size.
        train: Rows to learn from.
        validation: Rows that say when to stop; may be empty.
        seed: Of everything random.
        on_epoch: Told of the progress.
    """
    keras.utils.set_random_seed(seed)
    model = network.build(config, seed)
    if config.head == "response":
        _start_at_base_rate(model, train.outcome)
    model.compile(
        optimizer=keras.optimizers.get(
            {"class_name": training.optimizer, "config": {"learning_rate": training.learning_rate}}
        ),
        loss=_LOSSES[config.head],
    )
    weights = row_weights(train.strategy, config)
    callbacks = [_Report(on_epoch)]
    validates = len(validation) > 0
    if validates:
        callbacks.append(
            keras.callbacks.EarlyStopping(
                monitor="val_loss", patience=PATIENCE_EPOCHS, restore_best_weights=True
            )
        )
    history = model.fit(
        train.x,
        _targets(train, config),
        sample_weight=weights[train.strategy],
        validation_data=(
            validation.x,
            _targets(validation, config),
            weights[validation.strategy],
        )
        if validates
        else None,
        epochs=training.epochs,
        batch_size=training.batch_size,
        verbose=0,
        callbacks=callbacks,
    )
    losses = tuple(map(float, history.history["loss"]))
    validation_losses = tuple(map(float, history.history.get("val_loss", ())))
    epochs = int(np.argmin(validation_losses)) + 1 if validates else len(losses)
    return Fitted(model, epochs, losses, validation_losses)


def predict(model: Any, x: Float32s) -> Float32s:
    """Scores of n rows. Shape (n, K), float32."""
    parts = [
        np.asarray(model(x[start : start + _ROWS_PER_CALL], training=False))
        for start in range(0, len(x), _ROWS_PER_CALL)
    ]
    return np.concatenate([np.empty((0, model.output_shape[-1]), np.float32), *parts])


def row_weights(strategy: Int64s, config: NetworkConfig) -> Float32s:
    """Weight of the rows of each strategy: for a choice the same for all rows of it together.

    A rare strategy gets a bounded weight. Rows of a response all count the same: weights change
    nothing there that a network could learn, and cost rows.

    Returns:
        Shape (outputs,), float32.
    """
    if config.head == "response":
        return np.ones(config.outputs, np.float32)
    used = np.bincount(strategy, minlength=config.outputs)
    present = max(int((used > 0).sum()), 1)
    equal = len(strategy) / (present * np.maximum(used, 1))
    return np.minimum(equal, _WEIGHT_MAX).astype(np.float32)


def _start_at_base_rate(model: Any, outcome: Bools) -> None:
    """A network that begins at the mean outcome need not spend its first epochs on finding it."""
    rate = (float(outcome.sum()) + 0.5) / (len(outcome) + 1.0)
    model.get_layer("base").bias.assign([math.log(rate / (1.0 - rate))])


def _targets(samples: Samples, config: NetworkConfig) -> Float32s | Int64s:
    """For a choice the strategy; for a response the outcome in the column that was used."""
    if config.head == "choice":
        return samples.strategy
    targets = np.full((len(samples), config.outputs), _UNUSED, np.float32)
    targets[np.arange(len(samples)), samples.strategy] = samples.outcome
    return targets


def _response_loss(targets: Any, scores: Any) -> Any:
    """Cross-entropy of the strategy that was used; nobody knows the outcome of the others."""
    ops = keras.ops
    scores = ops.clip(scores, 1e-7, 1.0 - 1e-7)
    log_loss = -(targets * ops.log(scores) + (1.0 - targets) * ops.log(1.0 - scores))
    return ops.sum(ops.where(targets == _UNUSED, 0.0, log_loss), axis=-1)


_LOSSES: dict[str, Any] = {
    "response": _response_loss,
    "choice": "sparse_categorical_crossentropy",
}


class _Report(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no type information
    """Hands the losses of each epoch on."""

    def __init__(self, on_epoch: OnEpoch | None) -> None:
        super().__init__()
        self._on_epoch = on_epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = logs or {}
        if self._on_epoch is not None:
            self._on_epoch(epoch + 1, logs["loss"], logs.get("val_loss"))
