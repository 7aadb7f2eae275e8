"""What a step of training pays for: how unlikely the network called what happened.

Rules of this file
1. Losses read logits, so that a sure network costs exactly what it should, not what rounding leaves.
2. Only what was done is judged: nobody knows what another strategy would have brought.
3. Weights are columns of their own. A row of weight 2 is the same as two rows of weight 1.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.backend import keras
from models.manifest import NetworkConfig
from stream.campaign.training import LOSSES, TrainingSpec
from stream.columns import Float32s, Float64s, Int32s, Int64s
from trainer.examples.part import Part

CLASS_WEIGHT_MAX = 100.0
"""A strategy or an outcome of a handful of examples must not drown all others."""
_MISSED_MIN = 1e-7

Loss = Callable[[Any, Any], Any]
"""Targets as of `targets` and logits (n, K) to the loss of each example, (n,), before weights."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of loss, a row of `stream.campaign.training.LOSSES`.

    Attributes:
        of: Log-likelihoods of what happened, (n,), and the training, to the losses, (n,).
        is_proper: Whether it is least for the true probabilities, with these settings.
    """

    of: Callable[[Any, TrainingSpec], Any]
    is_proper: Callable[[TrainingSpec], bool] = lambda _: True


def _focal(likely: Any, training: TrainingSpec) -> Any:
    """-(1 - p)^gamma log p: what is already right counts for less (Lin et al. 2017, section 3)."""
    if training.focal_gamma == 0:
        return -likely
    missed = keras.ops.clip(-keras.ops.expm1(likely), _MISSED_MIN, 1.0)
    return -likely * keras.ops.power(missed, training.focal_gamma)


cross_entropy = Kind(lambda likely, _: -likely)
focal = Kind(_focal, lambda training: training.focal_gamma == 0)  # else for less sure ones


def loss_of(config: NetworkConfig, training: TrainingSpec) -> Loss:
    """The loss of a training, for a network of the head in `config`."""
    log_p, kind, ops = _LOG_LIKELIHOODS[config.head], _kind(training), keras.ops

    def loss(target: Any, logits: Any) -> Any:
        target = ops.cast(ops.reshape(target, (-1,)), "int32")  # Keras hands floats over
        return kind.of(log_p(target, ops.reshape(logits, (-1, config.outputs))), training)

    return loss


def is_proper(config: NetworkConfig, training: TrainingSpec) -> bool:
    """Whether what is fitted is least for the true probabilities, as the policy needs them.

    Balanced outcomes are those of a world in which every second customer converts. Balanced strategies
    are no distortion of a choice: how often a strategy was used is no merit of it.
    """
    reweighed = config.head == "response" and _balanced(config, training)
    return _kind(training).is_proper(training) and not reweighed


def targets(part: Part, config: NetworkConfig) -> Int32s:
    """What happened, as one number: the strategy, of a response 2 * strategy + outcome.

    Shape (n,), int32.
    """
    if config.head == "choice":
        return part.strategy.astype(np.int32)
    return (2 * part.strategy + part.outcome).astype(np.int32)


def class_factors(part: Part, config: NetworkConfig, training: TrainingSpec) -> Float64s:
    """Factor on the weight of each class: strategies of a choice, the two outcomes of a response.

    Balanced makes the classes that are there weigh the same, together as much as before.

    Args:
        part: The examples that are learned from.
        config: The network.
        training: Its class weights.

    Returns:
        Shape (classes,), float64, at most `CLASS_WEIGHT_MAX`.
    """
    classes = config.outputs if config.head == "choice" else 2
    if not _balanced(config, training):
        return np.ones(classes)
    total = np.bincount(_classes(part, config), part.weight, classes)
    there = total > 0
    equal = total.sum() / (max(int(there.sum()), 1) * np.where(there, total, 1.0))
    return np.where(there, np.minimum(equal, CLASS_WEIGHT_MAX), 1.0)


def row_weights(part: Part, config: NetworkConfig, factors: Float64s) -> Float32s:
    """Weight of each example: its own times that of its class. Shape (n,), float32."""
    return (part.weight * factors[_classes(part, config)]).astype(np.float32)


def _classes(part: Part, config: NetworkConfig) -> Int64s:
    return part.strategy if config.head == "choice" else part.outcome.astype(np.int64)


def _balanced(config: NetworkConfig, training: TrainingSpec) -> bool:
    default = "balanced" if config.head == "choice" else "none"
    return (training.class_weights or default) == "balanced"


def _kind(training: TrainingSpec) -> Kind:
    kind: Kind = pkgutil.resolve_name(LOSSES[training.loss])
    return kind


def _choice(target: Any, logits: Any) -> Any:
    return -keras.ops.sparse_categorical_crossentropy(target, logits, from_logits=True)


def _response(target: Any, logits: Any) -> Any:
    ops = keras.ops
    used = ops.one_hot(target // 2, logits.shape[-1])
    outcome = ops.cast(target % 2, "float32")
    return ops.log_sigmoid((2.0 * outcome - 1.0) * ops.sum(used * logits, axis=-1))


_LOG_LIKELIHOODS: dict[str, Loss] = {"choice": _choice, "response": _response}
