"""Keras networks from plain data: a trunk that looks at the customer, a head that scores strategies.

Rules of this file
1. A network is one trunk, by a row of `models.network_kinds`, and one of `_HEADS`.
2. A head ends in logits and one activation, so scores are probabilities whatever the trunk is.
3. One config and one seed give one network.
4. Weights go in only through `arrange`, which compares names and shapes first.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from models.backend import keras
from models.builder import TRUNK, custom_trunk
from models.contract import Float32s
from models.errors import BundleError
from models.layers.encoding import ENCODING, Encoding
from models.layers.trunks import dense
from models.manifest import NetworkConfig
from models.network_kinds import KINDS

SEEN = "seen"
"""Name of the layer that puts the encoding before the trunk."""
Trunk = Callable[[Any, NetworkConfig, int], Any]
"""Inputs (n, F), the network and a seed to what the head looks at, (n, width): symbolic tensors."""


def build(config: NetworkConfig, seed: int = 0, builder: str = "") -> Any:
    """A new Keras model: (n, F) normalized features in, (n, K) scores in [0, 1] out, float32.

    Args:
        config: The network.
        seed: Of its initialisers and dropout.
        builder: `module:function` of a custom network that this process may run, from its own
            campaign file.

    Raises:
        BundleError: A custom network is not allowed here, or its builder does not build one.
    """
    inputs = keras.Input((config.inputs,), name="features", dtype="float32")
    build_trunk = KINDS[config.network].build
    if build_trunk:
        make: Trunk = pkgutil.resolve_name(build_trunk)
        trunk = make(inputs, config, seed)
    else:
        trunk = custom_trunk(inputs, config, seed, builder)
    if config.bins:
        pieces = Encoding(config.bins, name=ENCODING)(inputs)
        # The encoding holds the inputs, which are the trunk of the linear network.
        plain = config.network == "linear"
        trunk = pieces if plain else keras.layers.Concatenate(name=SEEN)([pieces, trunk])
    outputs = _HEADS[config.head](trunk, config, seed)
    return keras.Model(inputs, outputs, name=f"{config.network}_{config.head}")


def seen(model: Any) -> Any:
    """The same network up to what the head of a response weighs: same layers, same weights."""
    return keras.Model(model.input, model.get_layer("base").input, name=f"{model.name}_seen")


def logits(model: Any) -> Any:
    """The same network without its last activation: same layers, same weights."""
    return keras.Model(model.input, model.layers[-1].input, name=f"{model.name}_logits")


def weights(model: Any) -> dict[str, Float32s]:
    """Copies of the weights by name, such as hidden_0/kernel, in the model's order.

    Those that are not trained, such as the moving mean of a batch normalization, are among them.
    """
    return {
        name: np.array(variable.numpy(), dtype=np.float32)
        for name, variable in _variables(model).items()
    }


def arrange(model: Any, arrays: Mapping[str, Float32s]) -> list[Float32s]:
    """The arrays in the order of `model.weights`, as `model.set_weights` takes them.

    Raises:
        BundleError: A name is missing or unknown, or a shape is not the one the network has.
    """
    expected = {name: tuple(variable.shape) for name, variable in _variables(model).items()}
    got = {name: array.shape for name, array in arrays.items()}
    if got != expected:
        wrong = sorted(
            f"{name}: expected {expected.get(name, 'none')}, got {got.get(name, 'none')}"
            for name in expected.keys() | got.keys()
            if expected.get(name) != got.get(name)
        )
        raise BundleError(f"weights of another network than {model.name}: {'; '.join(wrong)}")
    return [arrays[name] for name in expected]


def apply(model: Any, arrays: Sequence[Any], x: Any) -> Any:
    """Scores of x with other weights than the model's own, as part of a TensorFlow function.

    Args:
        model: Made by `build`.
        arrays: Tensors in the order of `model.weights`.
        x: Shape (n, F), float32.
    """
    values = {id(v): array for v, array in zip(model.weights, arrays, strict=True)}

    def of(variables: Sequence[Any]) -> list[Any]:
        # What is left is the state of random numbers, which only training draws.
        return [values.get(id(v), keras.ops.zeros(v.shape, v.dtype)) for v in variables]

    trained, others = of(model.trainable_variables), of(model.non_trainable_variables)
    return model.stateless_call(trained, others, x, training=False)[0]


def _variables(model: Any) -> dict[str, Any]:
    """The weights by name: their path or, in the trunk of a user, their place in it.

    Layers without a name are numbered by Keras as they are made in a process, so another process
    gives them other names.
    """
    named = {}
    for layer in model.layers:
        for i, variable in enumerate(layer.weights):
            own = layer.name == TRUNK
            named[f"{TRUNK}/{i}/{variable.name}" if own else variable.path] = variable
    return named


def _choice(trunk: Any, config: NetworkConfig, seed: int) -> Any:
    """P(strategy k is the right one): the outputs of one customer add up to 1."""
    logit = dense("choice", config.outputs, config, seed)(trunk)
    return keras.layers.Activation("softmax", name="shares")(logit)


def _response(trunk: Any, config: NetworkConfig, seed: int) -> Any:
    """P(outcome | strategy k): what the customer does anyway, plus what each strategy changes.

    The changes start at 0 and carry a penalty of their own, because logs say a lot about
    customers and little about the difference that a strategy makes.
    """
    base = dense("base", 1, config, seed)(trunk)
    delta = keras.layers.Dense(
        config.outputs,
        kernel_initializer="zeros",
        kernel_regularizer=keras.regularizers.L2(config.l2 + config.delta_l2),
        name="delta",
    )(trunk)
    logit = keras.layers.Add(name="logit")([base, delta])
    return keras.layers.Activation("sigmoid", name="response")(logit)


_HEADS: dict[str, Trunk] = {
    "choice": _choice,
    "response": _response,
}
