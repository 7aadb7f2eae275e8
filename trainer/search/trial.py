"""One trial: a network is fitted, watched, and perhaps ended early."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import optuna

from models.backend import keras
from models.manifest import NetworkConfig
from stream.campaign.file import Campaign
from stream.campaign.training import ModelSpec, TrainingSpec
from stream.columns import Float32s, Float64s
from trainer.errors import TrainingError
from trainer.evaluation.metrics import log_losses
from trainer.examples.part import Part
from trainer.fitting.calibrate import calibrate_choice, calibrate_response
from trainer.fitting.fit import fit
from trainer.fitting.losses import class_factors, is_proper, row_weights
from trainer.fitting.network_config import network_config
from trainer.fitting.predict import predict

Clock = Callable[[], float]
"""Seconds since some moment."""


class OutOfTimeError(Exception):
    """The time of the search ended during a trial."""


@dataclass(frozen=True, slots=True)
class Task:
    """What every trial of a search has in common.

    Attributes:
        train: Examples to learn from.
        validation: Later examples, on which models are compared.
        weight: How much each of them counts there, see `judging_weight`. Shape (n,), float64.
        outputs: Outputs of the network.
        seed: Of everything random in a fit: the same for all, so that they differ in settings alone.
        deadline_s: When the search ends, by `clock`.
        clock: Tells the time.
    """

    train: Part
    validation: Part
    weight: Float64s
    outputs: int
    seed: int
    deadline_s: float
    clock: Clock


def run(task: Task, trial: optuna.Trial, model: ModelSpec, training: TrainingSpec) -> float:
    """Fits the network of a trial; returns its log loss on the validation examples.

    Raises:
        optuna.TrialPruned: It is worse than half of the others after as many epochs.
        OutOfTimeError: The time of the search has ended.
        TrainingError: The network cannot be fitted.
    """
    config = network_config(model, training, task.train.features, task.outputs)
    watch = _Watch(task, trial, config, proper=is_proper(config, training))
    fitted = fit(config, training, task.train, task.validation, task.seed, callbacks=[watch])
    return log_loss(predict(fitted.model, task.validation), task.validation, task.weight)


def judging_weight(campaign: Campaign, train: Part, validation: Part, outputs: int) -> Float64s:
    """How much each validation example counts when models are compared. Shape (n,), float64.

    Class weights only help to learn a response, whose probabilities are calibrated afterwards. For a
    choice they say what is asked: with balanced ones, what suits a customer, however often it was
    used. So there they count here as well, and are not searched.
    """
    if campaign.model.head == "response":
        return validation.weight
    config = network_config(campaign.model, campaign.training, train.features, outputs)
    factors = class_factors(train, config, campaign.training)
    return row_weights(validation, config, factors).astype(np.float64)


def log_loss(scores: Float32s, part: Part, weight: Float64s) -> float:
    """Mean negative log-likelihood, nats, of what happened with the strategies that were used.

    Args:
        scores: Outputs of a network. Shape (n, K), float32.
        part: The examples; for a choice, those that had the outcome.
        weight: How much each counts. Shape (n,), float64.

    Raises:
        TrainingError: A score is no number.
    """
    score = scores[np.arange(len(part)), part.strategy].astype(np.float64)
    loss = float(np.average(log_losses(score, part.outcome), weights=weight))
    if not np.isfinite(loss):
        raise TrainingError("expected probabilities from the network, got NaN: the fit diverged")
    return loss


class _Watch(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no type information
    """Reports every epoch, and ends a fit that is hopeless or out of time."""

    def __init__(
        self, task: Task, trial: optuna.Trial, config: NetworkConfig, *, proper: bool
    ) -> None:
        super().__init__()
        self._task = task
        self._trial = trial
        self._config = config
        self._proper = proper

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if self._task.clock() >= self._task.deadline_s:
            raise OutOfTimeError

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        loss = (logs or {})["val_data_loss"] if self._proper else self._calibrated_loss()
        self._trial.report(loss, epoch + 1)
        if self._trial.should_prune():
            raise optuna.TrialPruned

    def _calibrated_loss(self) -> float:
        """What the log loss would be if the fit ended now."""
        part, weight = self._task.validation, self._task.weight
        logits = predict(self.model, part)  # what is fitted ends before the last activation
        if self._config.head == "choice":
            return calibrate_choice(logits, part.strategy, weight).log_loss_after
        used = logits[np.arange(len(part)), part.strategy]
        return calibrate_response(used, part.outcome.astype(np.float64), weight).log_loss_after
