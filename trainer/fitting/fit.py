"""Fits the network of a campaign to examples.

Rules of this file
1. One seed, one result: initialisation, order of the rows and arithmetic follow from it, on one type
   of machine.
2. The policy multiplies probabilities with money. So outcomes are reweighted only when the campaign
   file asks for it, and whatever bends the probabilities is followed by a calibration.
3. The loss that is told and that stops the fit is that of the data, without the penalties: those
   fall as weights shrink, also when the network gets worse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from models import network
from models.backend import keras
from models.contract import Float32s
from models.errors import BundleError
from models.manifest import NetworkConfig
from models.network_kinds import KINDS
from stream.campaign.training import ModelSpec, TrainingSpec
from stream.columns import Float64s
from trainer.errors import TrainingError
from trainer.examples.part import Part
from trainer.fitting.calibrate import Calibration, calibrate_choice, calibrate_response, fold
from trainer.fitting.feed import Feed
from trainer.fitting.losses import class_factors, is_proper, loss_of, row_weights, targets

_PENALTIES = {"response": (2e-3, 1e-2), "choice": (0.0, 0.0)}
"""l2 and delta_l2 when not given. Conversions are few and differences between strategies rest on
fewer: without these penalties a response model of the example campaign is at its best after two
epochs and worse on later data."""
_STEPS_PER_CALL = 64  # of one call into TensorFlow: at 32 rows a step, 4 times as fast as one
_ROWS_PER_CALL = 8192
_LOSS, _VALIDATION_LOSS = "data_loss", "val_data_loss"

OnEpoch = Callable[[int, float, float | None], None]
"""Called with the number of the epoch from 1 on, its training loss and its validation loss."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted network.

    Attributes:
        model: The Keras model, calibrated if `calibration` says so.
        epochs: Epochs that its weights have seen.
        losses: Training loss of each epoch, without penalties.
        validation_losses: Validation loss of each epoch, empty without validation.
        calibration: None when the loss is one that leaves probabilities as they are.
    """

    model: Any
    epochs: int
    losses: tuple[float, ...]
    validation_losses: tuple[float, ...]
    calibration: Calibration | None = None


def network_config(
    model: ModelSpec, training: TrainingSpec, inputs: int, outputs: int
) -> NetworkConfig:
    """The network that a campaign file describes; what its kind does not use is left out.

    Args:
        model: The section `model`.
        training: The section `training`, for the penalties.
        inputs: Features, F.
        outputs: Strategies, K.

    Raises:
        TrainingError: The section contradicts itself, such as an mlp without hidden layers.
    """
    l2, delta_l2 = _PENALTIES[model.head]
    used = {name: getattr(model, name) for name in KINDS[model.network].uses}
    if "cross_rank" in used:
        used["cross_rank"] = min(
            model.cross_rank, inputs
        )  # no matrix of F features has a higher one
    try:
        config = NetworkConfig(
            network=model.network,
            head=model.head,
            inputs=inputs,
            outputs=outputs,
            activation=model.activation,
            l2=l2 if training.l2 is None else training.l2,
            delta_l2=delta_l2 if training.delta_l2 is None else training.delta_l2,
            **used,
        )
        return msgspec.convert(msgspec.to_builtins(config), NetworkConfig)  # checks the bounds
    except (ValueError, msgspec.ValidationError) as exc:
        raise TrainingError(f"model: {exc}") from exc


def fit(
    config: NetworkConfig,
    training: TrainingSpec,
    train: Part,
    validation: Part,
    seed: int,
    on_epoch: OnEpoch | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Fitted:
    """Fits a new network, stopping when the validation loss has not fallen for a while.

    Args:
        config: The network. Its builder, if it has one, is run: it comes from the campaign file.
        training: Optimizer, loss, weights, epochs and batch size.
        train: Examples to learn from.
        validation: Later ones that say when to stop, and calibrate; may be empty.
        seed: Of everything random.
        on_epoch: Told of the progress.
        callbacks: Further Keras callbacks; their logs hold data_loss and val_data_loss.

    Raises:
        TrainingError: The network cannot be built, the loss is no number any more, or scores cannot
            be calibrated.
    """
    keras.utils.set_random_seed(seed)
    factors = class_factors(train, config, training)
    weight = row_weights(train, config, factors)
    model = _started(config, train, weight, seed)
    learner = _learner(model, config, training)
    with (
        Feed(train, targets(train, config), weight, training.batch_size, seed) as feed,
        _checks(validation, config, factors) as checks,
    ):
        history = learner.fit(
            feed.batches,
            shuffle=False,  # `Feed` does it
            validation_data=checks.batches if len(validation) else None,
            epochs=training.epochs,
            verbose=0,
            callbacks=[
                feed, _Progress(training, on_epoch), *_stopping(validation, training), *callbacks,
            ],
        ).history  # fmt: skip
    _expect_finite(network.weights(model), training)
    later = validation if len(validation) else train
    losses = tuple(map(float, history[_LOSS]))
    validation_losses = tuple(map(float, history.get(_VALIDATION_LOSS, ())))
    return Fitted(
        model=model,
        epochs=int(np.argmin(validation_losses)) + 1 if validation_losses else len(losses),
        losses=losses,
        validation_losses=validation_losses,
        calibration=None
        if is_proper(config, training)
        else _calibrate(model, learner, config, later, factors),
    )


def predict(model: Any, part: Part) -> Float32s:
    """Scores of the examples of a part. Shape (n, K), float32."""
    out = np.empty((len(part), model.output_shape[-1]), np.float32)
    for where, x in part.blocks():
        out[where] = scores(model, x)
    return out


def scores(model: Any, x: Float32s) -> Float32s:
    """Scores of n normalized feature vectors, (n, F) float32. Shape (n, K), float32."""
    parts = [
        np.asarray(model(x[start : start + _ROWS_PER_CALL], training=False))
        for start in range(0, len(x), _ROWS_PER_CALL)
    ]
    return np.concatenate([np.empty((0, model.output_shape[-1]), np.float32), *parts])


def _started(config: NetworkConfig, train: Part, weight: Float32s, seed: int) -> Any:
    """A new network; one that begins at the mean outcome need not spend its first epochs on it."""
    try:
        model = network.build(config, seed, builder=config.builder)
    except BundleError as exc:
        raise TrainingError(str(exc)) from exc
    if config.head == "response":
        positive, negative = float(weight[train.outcome].sum()), float(weight[~train.outcome].sum())
        model.get_layer("base").bias.assign([math.log((positive + 0.5) / (negative + 0.5))])
    return model


def _learner(model: Any, config: NetworkConfig, training: TrainingSpec) -> Any:
    """The network without its last activation, which shares its weights and is fitted."""
    learner, loss = network.logits(model), loss_of(config, training)
    learner.compile(
        optimizer=_optimizer(training),
        loss=loss,
        weighted_metrics=[keras.metrics.MeanMetricWrapper(loss, name=_LOSS)],
        steps_per_execution=_STEPS_PER_CALL,
    )
    return learner


def _optimizer(training: TrainingSpec) -> Any:
    config = {"learning_rate": training.learning_rate}
    optimizer = keras.optimizers.get({"class_name": training.optimizer, "config": config})
    if training.optimizer == "adamw":
        # A bias that decays pulls rare outcomes to one half.
        optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def _checks(validation: Part, config: NetworkConfig, factors: Float64s) -> Feed:
    """The validation examples, weighed like those that are learned from."""
    weight = row_weights(validation, config, factors)
    return Feed(validation, targets(validation, config), weight, _ROWS_PER_CALL, seed=None)


def _stopping(validation: Part, training: TrainingSpec) -> list[Any]:
    if len(validation) == 0:
        return []
    return [
        keras.callbacks.EarlyStopping(
            monitor=_VALIDATION_LOSS,
            mode="min",
            patience=training.patience_epochs,
            restore_best_weights=True,
        )
    ]


def _calibrate(
    model: Any, learner: Any, config: NetworkConfig, part: Part, factors: Float64s
) -> Calibration:
    logits = predict(learner, part)
    if config.head == "choice":
        weight = row_weights(part, config, factors).astype(np.float64)
        found = calibrate_choice(logits, part.strategy, weight)
    else:
        if part.outcome.all() or not part.outcome.any():
            raise TrainingError(
                "expected both outcomes in the validation part, so that scores can be made "
                f"probabilities after this loss, got {int(part.outcome.sum())} conversions of "
                f"{len(part)}. Train on a longer history, raise training.validation_share, or use "
                'loss = "cross_entropy" and class_weights = "none"'
            )
        used = logits[np.arange(len(part)), part.strategy]
        found = calibrate_response(used, part.outcome.astype(np.float64), part.weight)
    if found.applied:
        fold(model, config.head, found)
    return found


def _expect_finite(values: dict[str, Any], training: TrainingSpec) -> None:
    """`values` are losses or weights by name."""
    wrong = [name for name, value in values.items() if not np.isfinite(value).all()]
    if wrong:
        raise TrainingError(
            f"expected finite numbers, got NaN or infinity in {', '.join(wrong)}, with "
            f"{training.optimizer} and learning rate {training.learning_rate:g}. Lower "
            "training.learning_rate; if that does not help, look for features without bounds"
        )


class _Progress(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no type information
    """Hands the losses of each epoch on, and ends a fit that has lost its numbers."""

    def __init__(self, training: TrainingSpec, on_epoch: OnEpoch | None) -> None:
        super().__init__()
        self._training = training
        self._on_epoch = on_epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = logs or {}
        judged = logs.get(_VALIDATION_LOSS)
        shown = {name: logs[name] for name in (_LOSS, _VALIDATION_LOSS) if name in logs}
        _expect_finite(
            {f"{name} of epoch {epoch + 1}": shown[name] for name in shown}, self._training
        )
        if self._on_epoch is not None:
            self._on_epoch(epoch + 1, logs[_LOSS], judged)
