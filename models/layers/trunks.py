"""The part of a network that looks at the customer: inputs in, what the head looks at out.

Rules of this file
1. A trunk is one row of `models.network_kinds`; one that is more than layers in a row has a file of its own.
2. Every initialiser and every dropout is seeded, no two of a network alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.backend import keras
from models.manifest import NetworkConfig

HIDDEN_SEED, CROSS_SEED, DROPOUT_SEED = 1, 101, 201
"""Added to the seed of a network: first of the seeds of one sort of layers, a hundred each."""


def dense(
    name: str,
    units: int,
    config: NetworkConfig,
    seed: int,
    activation: str = "linear",
    *,
    use_bias: bool = True,
) -> Callable[[Any], Any]:
    """A Dense layer with the penalty of the network."""
    layer: Callable[[Any], Any] = keras.layers.Dense(
        units,
        activation=activation,
        use_bias=use_bias,
        kernel_initializer=keras.initializers.GlorotUniform(seed),
        kernel_regularizer=keras.regularizers.L2(config.l2) if config.l2 else None,
        name=name,
    )
    return layer


def linear(inputs: Any, config: NetworkConfig, seed: int) -> Any:
    """The inputs themselves: a head over them is a weighted sum."""
    return inputs


def mlp(inputs: Any, config: NetworkConfig, seed: int) -> Any:
    """Hidden layers, one after the other."""
    hidden = inputs
    for i, units in enumerate(config.hidden):
        first = seed + HIDDEN_SEED + i
        hidden = dense(f"hidden_{i}", units, config, first, config.activation)(hidden)
        if config.dropout:
            dropout = keras.layers.Dropout(config.dropout, seed=seed + DROPOUT_SEED + i)
            hidden = dropout(hidden)
    return hidden
