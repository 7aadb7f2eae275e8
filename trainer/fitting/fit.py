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
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from models import network
from models.backend import keras
from models.contract import Float32s
from models.errors import BundleError
from models.manifest import NetworkConfig
from stream.campaign.training import TrainingSpec
from stream.columns import Float64s
from trainer.errors import TrainingError
from trainer.examples.part import Part
from trainer.examples.weights import inverse_propensity
from trainer.fitting.calibrate import Calibration, calibrate_choice, calibrate_response, fold
from trainer.fitting.exact_head import Solved, is_solved, logits_of, seen, set_edges, solve
from trainer.fitting.feed import Feed
from trainer.fitting.logger_knew import Knew, has_propensities, what_they_knew
from trainer.fitting.losses import class_factors, is_proper, loss_of, row_weights, targets
from trainer.fitting.predict import mean_loss, predict

_DIVERGED = 20.0
"""Nats: a loss above it calls what happened less likely than one in 400 million."""
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
        losses: Training loss of each epoch, without penalties; of a head by evidence last.
        validation_losses: Validation loss of each, empty without validation.
        calibration: None when the loss is one that leaves probabilities as they are.
        solved: How its head was found by evidence; None for one that was trained.
        knew: What the propensities said of the outcome; None when they were not asked.
        weighted: Whether examples counted 1 / propensity because of it.
    """

    model: Any
    epochs: int
    losses: tuple[float, ...]
    validation_losses: tuple[float, ...]
    calibration: Calibration | None = None
    solved: Solved | None = None
    knew: Knew | None = None
    weighted: bool = False


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
    fitted = _fit(config, training, train, validation, seed, on_epoch, callbacks)
    asks = training.propensity_weights is None and config.head == "response"
    if not (asks and has_propensities(train)):
        return fitted
    part, x = seen(fitted.model, train)
    knew = what_they_knew(
        x, part.strategy, logits_of(fitted.model, x, part.strategy),
        part.outcome.astype(np.float64), part.logged.propensity,
    )  # fmt: skip
    if not knew.more:
        return replace(fitted, knew=knew)
    train, validation = (_weighted(part, training) for part in (train, validation))
    again = _fit(config, training, train, validation, seed, on_epoch, callbacks)
    return replace(again, knew=knew, weighted=True)


def _weighted(part: Part, training: TrainingSpec) -> Part:
    """The examples, each counting 1 / propensity; as they are where one has none."""
    if not has_propensities(part):
        return part
    everybody = np.ones(len(part), np.bool_)
    weight = inverse_propensity(part.logged.propensity, everybody, training.weight_max)
    return replace(part, weight=weight)


def _fit(
    config: NetworkConfig, training: TrainingSpec, train: Part, validation: Part, seed: int,
    on_epoch: OnEpoch | None, callbacks: Sequence[keras.callbacks.Callback],
) -> Fitted:  # fmt: skip
    keras.utils.set_random_seed(seed)
    factors = class_factors(train, config, training)
    weight = row_weights(train, config, factors)
    model = _started(config, train, weight, seed)
    solves = is_solved(model, config, training, train)
    learner = _learner(model, config, training)
    history: dict[str, list[float]] = {_LOSS: [], _VALIDATION_LOSS: []}
    if not (solves and config.network == "linear"):  # of which the head is all
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
    losses = tuple(map(float, history[_LOSS]))
    validation_losses = tuple(map(float, history.get(_VALIDATION_LOSS, ())))
    epochs = int(np.argmin(validation_losses)) + 1 if validation_losses else len(losses)
    _expect_finite(network.weights(model), training)
    _expect_learned(validation_losses or losses, training)
    solved = solve(model, config, train) if solves else None
    if solved is not None:
        losses += (mean_loss(model, train),)
        if len(validation):
            validation_losses += (mean_loss(model, validation),)
    calibration = None
    if not is_proper(config, training):
        later = validation if len(validation) else train
        calibration = _calibrate(model, learner, config, later, factors)
    return Fitted(model, epochs, losses, validation_losses, calibration, solved)


def _started(config: NetworkConfig, train: Part, weight: Float32s, seed: int) -> Any:
    """A new network; one that begins at the mean outcome need not spend its first epochs on it."""
    n = max(len(train), 1)
    beside_mean = msgspec.structs.replace(config, l2=config.l2 / n, delta_l2=config.delta_l2 / n)
    try:
        model = network.build(beside_mean, seed, builder=config.builder)
    except BundleError as exc:
        raise TrainingError(str(exc)) from exc
    if config.head == "response":
        positive, negative = float(weight[train.outcome].sum()), float(weight[~train.outcome].sum())
        model.get_layer("base").bias.assign([math.log((positive + 0.5) / (negative + 0.5))])
    set_edges(model, config, train)
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


def _expect_learned(losses: tuple[float, ...], training: TrainingSpec) -> None:
    if losses and min(losses) > _DIVERGED:
        raise TrainingError(
            f"expected a loss that falls, got {min(losses):.3g} nats an example after its best epoch, where "
            f"knowing nothing costs less than {_DIVERGED:g}: the fit diverged, with {training.optimizer} and "
            f"learning rate {training.learning_rate:g}. Lower training.learning_rate"
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
