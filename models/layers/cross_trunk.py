"""The trunk that multiplies features with each other."""

from __future__ import annotations

from typing import Any

from models.backend import keras
from models.layers.trunks import CROSS_SEED, dense, mlp
from models.manifest import NetworkConfig


def dcn(inputs: Any, config: NetworkConfig, seed: int) -> Any:
    """Crosses of features beside hidden layers (Wang et al. 2020, arXiv 2008.13535, figure 1b).

    Each cross layer multiplies what came before with the inputs once more, by a matrix of low rank
    (section 4.2): x' = x0 * (U (V^T x) + b) + x. So l layers weigh products of up to l + 1 features.
    """
    ops, crossed = keras.layers, inputs
    for i in range(config.cross_layers):
        first = seed + CROSS_SEED + 2 * i
        down = dense(f"cross_{i}_v", config.cross_rank, config, first, use_bias=False)
        up = dense(f"cross_{i}_u", config.inputs, config, first + 1)
        crossed = ops.Add()([ops.Multiply()([inputs, up(down(crossed))]), crossed])
    return ops.Concatenate()([crossed, mlp(inputs, config, seed)])
