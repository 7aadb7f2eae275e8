"""Makes the scores of a network probabilities again where its loss bent them.

A focal loss and balanced outcomes rank well and say wrong probabilities, which the policy multiplies
with money. So the logits get one scale and one bias, fitted on later data than the network (Platt
1999; Guo et al. 2017, section 4.2), and both are folded into the last layer.

Rules of this file
1. Fitted in float64 by Newton steps on the log loss, which is convex in scale and bias.
2. The weights change only if the log loss falls and the order of customers stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from stream.columns import Float32s, Float64s, Int64s
from trainer.examples.part import Part

_STEPS_MAX = 50
_SOLVED = 1e-14
_DAMPING = 1e-9
_PULL = 0.01
"""Weight of one more example that says the scale is 1: too little to move it, enough to keep it
finite where every example is right."""

_EDGE = 1e-7  # of the probabilities of a rule
_Objective = Callable[[Float64s], tuple[float, Float64s, Float64s]]
"""Parameters to mean log loss, its gradient and its Hessian."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was found: logit' = scale * logit + bias.

    Attributes:
        scale: 1 / temperature.
        bias: Added to the logit of a response; 0 for a choice, whose shares it would not change.
        log_loss_before: On the examples that it was fitted on, in nats.
        log_loss_after: The same with scale and bias.
    """

    scale: float
    bias: float
    log_loss_before: float
    log_loss_after: float

    @property
    def applied(self) -> bool:
        """Whether it is an improvement, and with that part of the weights."""
        return self.scale > 0 and self.log_loss_after < self.log_loss_before


def calibrate_response(logit: Float32s, outcome: Float64s, weight: Float64s) -> Calibration:
    """Of a response head.

    Args:
        logit: Of the strategy that was used. Shape (n,), float32.
        outcome: 1 for a conversion, otherwise 0; both have to occur. Shape (n,), float64.
        weight: How much each example counts. Shape (n,), float64.
    """
    design = np.stack([logit.astype(np.float64), np.ones(len(logit))], axis=1)
    weight = weight / weight.sum()

    def objective(theta: Float64s) -> tuple[float, Float64s, Float64s]:
        u = design @ theta
        p = 0.5 * (1.0 + np.tanh(0.5 * u))  # the logistic function, without overflow
        loss = weight @ (np.logaddexp(0.0, u) - outcome * u)
        slope = design.T @ (weight * (p - outcome))
        return float(loss), slope, (design.T * (weight * p * (1.0 - p))) @ design

    return _calibration(objective, np.array([1.0, 0.0]), len(logit))


def calibrate_choice(logits: Float32s, strategy: Int64s, weight: Float64s) -> Calibration:
    """Of a choice head.

    Args:
        logits: Shape (n, K), float32.
        strategy: The right one. Shape (n,), int64.
        weight: How much each example counts. Shape (n,), float64.
    """
    z = logits.astype(np.float64)
    right = z[np.arange(len(z)), strategy]
    weight = weight / weight.sum()

    def objective(theta: Float64s) -> tuple[float, Float64s, Float64s]:
        u = theta[0] * z
        total = np.logaddexp.reduce(u, axis=1)
        share = np.exp(u - total[:, None])
        mean = (share * z).sum(axis=1)
        spread = (share * (z - mean[:, None]) ** 2).sum(axis=1)
        loss = weight @ (total - theta[0] * right)
        return float(loss), np.array([weight @ (mean - right)]), np.array([[weight @ spread]])

    return _calibration(objective, np.array([1.0]), len(z))


def calibrated_like(
    check: Part, on_check: Float32s, on_test: Float32s
) -> tuple[Float32s, Float32s]:
    """Scores of a rule after the calibration that a network has had, so that both knew the same.

    Args:
        check: What networks are calibrated on.
        on_check: The rule's scores of it, of a response. Shape (n, K), float32.
        on_test: Its scores of later examples. Shape (m, K), float32.

    Returns:
        Both, with one scale and one bias of their logits; as they are where one outcome alone occurs.
    """
    if not len(check) or check.outcome.all() or not check.outcome.any():
        return on_check, on_test
    used = _logit(on_check)[np.arange(len(check)), check.strategy]
    found = calibrate_response(
        used.astype(np.float32), check.outcome.astype(np.float64), check.weight
    )
    if not found.applied:
        return on_check, on_test
    both = (0.5 * (1 + np.tanh(0.5 * (found.scale * _logit(one) + found.bias)))
            for one in (on_check, on_test))  # fmt: skip
    first, second = (one.astype(np.float32) for one in both)
    return first, second


def _logit(p: Float32s) -> Float64s:
    inside = np.clip(p.astype(np.float64), _EDGE, 1 - _EDGE)
    found: Float64s = np.log(inside / (1 - inside))
    return found


def fold(model: Any, head: Literal["choice", "response"], calibration: Calibration) -> None:
    """Puts scale and bias into the last layers of a network, so that serving needs nothing new."""
    for name in ("choice",) if head == "choice" else ("base", "delta"):
        layer = model.get_layer(name)
        kernel, bias = (
            array.astype(np.float64) * calibration.scale for array in layer.get_weights()
        )
        layer.set_weights([kernel, bias + (calibration.bias if name == "base" else 0.0)])


def _calibration(log_loss: _Objective, nothing: Float64s, n: int) -> Calibration:
    def objective(theta: Float64s) -> tuple[float, Float64s, Float64s]:
        loss, slope, curvature = log_loss(theta)
        away, pull = theta[0] - 1.0, _PULL / n
        slope[0] += pull * away
        curvature[0, 0] += pull
        return loss + 0.5 * pull * away**2, slope, curvature

    theta = _least(objective, nothing)
    before, after = log_loss(nothing)[0], log_loss(theta)[0]
    bias = float(theta[1]) if len(theta) > 1 else 0.0
    return Calibration(float(theta[0]), bias, before, after)


def _least(objective: _Objective, theta: Float64s) -> Float64s:
    """Newton's method with steps halved until they go down."""
    value, slope, curvature = objective(theta)
    for _ in range(_STEPS_MAX):
        step = np.linalg.solve(curvature + _DAMPING * np.eye(len(theta)), slope)
        if slope @ step < _SOLVED:
            break
        while objective(theta - step)[0] > value:
            step = step / 2.0
        theta = theta - step
        value, slope, curvature = objective(theta)
    return theta
