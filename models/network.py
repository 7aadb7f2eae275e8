"""Keras networks from plain data: a trunk that looks at the customer, a head that scores strategies.

Rules of this file
1. A network is one entry of `_TRUNKS` and one of `_HEADS`; a new kind is a new entry.
2. Every initialiser is seeded: one config and one seed give one network.
3. Weights go in only through `arrange`, which compares names and shapes first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from models.backend import keras
from models.contract import Float32s
from models.errors import BundleError
from models.manifest import NetworkConfig

_Layer = Callable[[Any], Any]


def build(config: NetworkConfig, seed: int = 0) -> Any:
    """A new Keras model: (n, F) normalized features in, (n, K) scores in [0, 1] out, float32."""
    inputs = keras.Input((config.inputs,), name="features", dtype="float32")
    trunk = _TRUNKS[config.network](inputs, config, seed)
    outputs = _HEADS[config.head](trunk, config, seed)
    return keras.Model(inputs, outputs, name=f"{config.network}_{config.head}")


def weights(model: Any) -> dict[str, Float32s]:
    """Copies of the weights by variable name, such as hidden_0/kernel, in the model's order."""
    return {
        variable.path: np.array(variable.numpy(), dtype=np.float32)
        for variable in model.trainable_variables
    }


def arrange(model: Any, arrays: Mapping[str, Float32s]) -> list[Float32s]:
    """The arrays in the order of `model.trainable_variables`, as `model.set_weights` takes them.

    Raises:
        BundleError: A name is missing or unknown, or a shape is not the one the network has.
    """
    expected = {variable.path: tuple(variable.shape) for variable in model.trainable_variables}
    got = {name: array.shape for name, array in arrays.items()}
    if got != expected:
        wrong = sorted(
            f"{name}: expected {expected.get(name, 'none')}, got {got.get(name, 'none')}"
            for name in expected.keys() | got.keys()
            if expected.get(name) != got.get(name)
        )
        raise BundleError(f"weights of another network than {model.name}: {'; '.join(wrong)}")
    return [arrays[name] for name in expected]


def _linear(inputs: Any, config: NetworkConfig, seed: int) -> Any:
    return inputs


def _mlp(inputs: Any, config: NetworkConfig, seed: int) -> Any:
    hidden = inputs
    for i, units in enumerate(config.hidden):
        layer = _dense(f"hidden_{i}", units, config, seed + 1 + i, activation=config.activation)
        hidden = layer(hidden)
    return hidden


def _choice(trunk: Any, config: NetworkConfig, seed: int) -> Any:
    """P(strategy k is the right one): the outputs of one customer add up to 1."""
    return _dense("choice", config.outputs, config, seed, activation="softmax")(trunk)


def _response(trunk: Any, config: NetworkConfig, seed: int) -> Any:
    """P(outcome | strategy k): what the customer does anyway, plus what each strategy changes.

    The changes start at 0 and carry a penalty of their own, because logs say a lot about
    customers and little about the difference that a strategy makes.
    """
    base = _dense("base", 1, config, seed)(trunk)
    delta = keras.layers.Dense(
        config.outputs,
        kernel_initializer="zeros",
        kernel_regularizer=keras.regularizers.L2(config.l2 + config.delta_l2),
        name="delta",
    )(trunk)
    logit = keras.layers.Add(name="logit")([base, delta])
    return keras.layers.Activation("sigmoid", name="response")(logit)


def _dense(
    name: str, units: int, config: NetworkConfig, seed: int, activation: str = "linear"
) -> _Layer:
    layer: _Layer = keras.layers.Dense(
        units,
        activation=activation,
        kernel_initializer=keras.initializers.GlorotUniform(seed),
        kernel_regularizer=keras.regularizers.L2(config.l2) if config.l2 else None,
        name=name,
    )
    return layer


_TRUNKS: dict[str, Callable[[Any, NetworkConfig, int], Any]] = {"linear": _linear, "mlp": _mlp}
_HEADS: dict[str, Callable[[Any, NetworkConfig, int], Any]] = {
    "choice": _choice,
    "response": _response,
}
