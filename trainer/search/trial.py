"""One trial: a network is fitted, watched, and perhaps ended early."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna

from models import network
from models.backend import keras
from models.manifest import NetworkConfig
from stream.campaign.file import Campaign
from stream.campaign.training import ModelSpec, TrainingSpec
from stream.columns import Bools, Float64s
from trainer.errors import TrainingError
from trainer.evaluation.offpolicy.nuisance import folds_of
from trainer.examples.part import Part
from trainer.fitting.calibrate import calibrate_choice, calibrate_response
from trainer.fitting.fit import fit
from trainer.fitting.losses import class_factors, row_weights
from trainer.fitting.network_config import network_config
from trainer.fitting.predict import predict

_FOLDS = 2
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
    watch = _Watch(task, trial, config)
    fitted = fit(config, training, task.train, task.validation, task.seed, callbacks=[watch])
    return compared_loss(network.logits(fitted.model), config, task.validation, task.weight)


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


def compared_loss(logits: Any, config: NetworkConfig, part: Part, weight: Float64s) -> float:
    """Mean negative log-likelihood, nats, of what happened, by which models are compared.

    Every model is calibrated, on one half of the customers for the other half: one that was calibrated on
    the examples that rank it would look better than it is, beside one that was not.

    Args:
        logits: A network without its last activation.
        config: It as plain data.
        part: The examples; for a choice, those that had the outcome.
        weight: How much each counts. Shape (n,), float64.

    Raises:
        TrainingError: A logit is no number.
    """
    found = predict(logits, part).astype(np.float64)
    if not np.isfinite(found).all():
        raise TrainingError("expected probabilities from the network, got NaN: the fit diverged")
    fold = folds_of(part.customer, _FOLDS)
    losses = np.empty(len(part))
    for one in np.unique(fold).tolist():
        learn, judge = fold != one, fold == one
        losses[judge] = _losses(found, config, part, weight, learn, judge)
    return float(np.average(losses, weights=weight))


def _losses(
    logits: Float64s, config: NetworkConfig, part: Part, weight: Float64s, learn: Bools, judge: Bools
) -> Float64s:  # fmt: skip
    """Of the examples that judge, calibrated by those that learn; where these say nothing, as they are."""
    strategy, outcome = part.strategy, part.outcome
    if config.head == "choice":
        found = calibrate_choice(logits[learn].astype(np.float32), strategy[learn], weight[learn])
        scaled = logits[judge] * (found.scale if found.applied else 1.0)
        right = scaled[np.arange(len(scaled)), strategy[judge]]
        choice: Float64s = np.logaddexp.reduce(scaled, axis=1) - right
        return choice
    used = logits[np.arange(len(part)), strategy]
    if outcome[learn].any() and not outcome[learn].all():
        found = calibrate_response(
            used[learn].astype(np.float32), outcome[learn].astype(np.float64), weight[learn]
        )
        used = used * found.scale + found.bias if found.applied else used
    response: Float64s = np.logaddexp(0.0, used[judge]) - outcome[judge] * used[judge]
    return response


class _Watch(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no type information
    """Reports every epoch, and ends a fit that is hopeless or out of time."""

    def __init__(self, task: Task, trial: optuna.Trial, config: NetworkConfig) -> None:
        super().__init__()
        self._task = task
        self._trial = trial
        self._config = config

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if self._task.clock() >= self._task.deadline_s:
            raise OutOfTimeError

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        # What is fitted ends before the last activation.
        loss = compared_loss(self.model, self._config, self._task.validation, self._task.weight)
        self._trial.report(loss, epoch + 1)
        if self._trial.should_prune():
            raise optuna.TrialPruned
