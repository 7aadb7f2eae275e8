"""The part of a network that looks at the customer: inputs in, what the head looks at out.

Rules of this file
1. A trunk is one entry of `TRUNKS`.
2. Every initialiser and every dropout is seeded, no two of a network alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.backend import keras
from models.manifest import NetworkConfig

_HIDDEN_SEED, _CROSS_SEED, _DROPOUT_SEED = 1, 101, 201


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


def _linear(inputs: Any, config: NetworkConfig, seed: int) -> Any:
    return inputs


def _mlp(inputs: Any, config: NetworkConfig, seed: int) -> Any:
    hidden = inputs
    for i, units in enumerate(config.hidden):
        first = seed + _HIDDEN_SEED + i
        hidden = dense(f"hidden_{i}", units, config, first, config.activation)(hidden)
        if config.dropout:
            dropout = keras.layers.Dropout(config.dropout, seed=seed + _DROPOUT_SEED + i)
            hidden = dropout(hidden)
    return hidden


def _dcn(inputs: Any, config: NetworkConfig, seed: int) -> Any:
    """Crosses of features beside hidden layers (Wang et al. 2020, arXiv 2008.13535, figure 1b).

    Each cross layer multiplies what came before with the inputs once more, by a matrix of low rank
    (section 4.2): x' = x0 * (U (V^T x) + b) + x. So l layers weigh products of up to l + 1 features.
    """
    ops, crossed = keras.layers, inputs
    for i in range(config.cross_layers):
        first = seed + _CROSS_SEED + 2 * i
        down = dense(f"cross_{i}_v", config.cross_rank, config, first, use_bias=False)
        up = dense(f"cross_{i}_u", config.inputs, config, first + 1)
        crossed = ops.Add()([ops.Multiply()([inputs, up(down(crossed))]), crossed])
    return ops.Concatenate()([crossed, _mlp(inputs, config, seed)])


TRUNKS: dict[str, Callable[[Any, NetworkConfig, int], Any]] = {
    "linear": _linear,
    "mlp": _mlp,
    "dcn": _dcn,
}
