"""Which features moved a score, and by how much: integrated gradients of a logit.

    c_i = (x_i - b_i) * integral over t from 0 to 1 of df/dx_i at b + t (x - b)

Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", 2017, arXiv:1703.01365. The sum of all
c_i is f(x) - f(b) (completeness), which is checked. f is the logit of the strategy, less that of doing
nothing where the model has one: the logit of a linear network is linear, so that its contributions are exact.
The baseline b is 0: the features are normalized, so it is a customer who is average in each of them.
"""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from models import network
from models.bundle import Bundle
from stream.columns import Float32s, Float64s

_STEPS = 256


class Attribution(NamedTuple):
    """What moved the logit of one output.

    Attributes:
        contribution: Of each feature. Shape (F,), float64.
        logit: Of the customer.
        average: Of the baseline.
        rest: What the contributions leave of the difference: 0 but for rounding of a linear network.
        is_exact: Whether the network is linear in every feature: none is cut into pieces.
    """

    contribution: Float64s
    logit: float
    average: float
    rest: float
    is_exact: bool


def attribute(
    bundle: Bundle, vector: Float32s, output: int, against: int, builder: str = ""
) -> Attribution:
    """Attributes the logit of an output to the features.

    Args:
        bundle: The model.
        vector: Normalized features. Shape (F,), float32.
        output: Index of the output.
        against: Index of the output whose logit is taken from it, -1 for none.
        builder: As for `models.network.build`.
    """
    config = bundle.manifest.network
    model = network.build(config, builder=builder)
    model.set_weights(network.arrange(model, bundle.weights))
    logits = network.logits(model)
    is_exact = config.network == "linear" and not config.bins
    steps = 1 if is_exact else _STEPS
    # The middle of each step: exact for what is linear, and the best of one value a step.
    at = (np.arange(steps, dtype=np.float32) + 0.5) / steps
    gradient = _gradients(logits, at[:, None] * vector, output, against).mean(axis=0)
    contribution = vector.astype(np.float64) * gradient
    ends = _value(logits, tf.constant(np.stack([vector, np.zeros_like(vector)])), output, against)
    logit, average = (float(value) for value in ends.numpy())
    rest = logit - average - float(contribution.sum())
    return Attribution(contribution, logit, average, rest, is_exact)


def _gradients(
    logits: keras.Model, points: Float32s | Float64s, output: int, against: int
) -> Float64s:
    x = tf.constant(points.astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.reduce_sum(_value(logits, x, output, against))
    return np.asarray(tape.gradient(value, x).numpy(), np.float64)


def _value(logits: keras.Model, x: tf.Tensor, output: int, against: int) -> tf.Tensor:
    out = logits(x, training=False)
    return out[:, output] - out[:, against] if against >= 0 else out[:, output]
