"""A user's own trunk, built by a function that the campaign file names.

Rules of this file
1. A manifest names a builder, which is no permission to run it: a module is imported only when the
   process was told the very same name by its own campaign file.
2. Whatever the function does wrong is a `BundleError` that says what; a worker keeps its model.
3. What it builds becomes a model of its own inside the network, so its layers need no names.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol

from models.backend import keras
from models.errors import BundleError
from models.manifest import NetworkConfig

TRUNK = "custom"
"""Name of the model that holds the user's layers."""


class Builder(Protocol):
    """The signature of a builder, such as `def build(inputs, config, seed)`.

    Args:
        inputs: Normalized features, a symbolic Keras tensor. Shape (n, config.inputs), float32.
        config: The network; hidden, activation, dropout, cross_layers, cross_rank and l2 are the
            builder's to use or not.
        seed: For initialisers and dropout.

    Returns:
        What the head looks at, made of `inputs`. Shape (n, width), float32.
    """

    def __call__(self, inputs: Any, config: NetworkConfig, seed: int) -> Any:
        """Builds the layers."""
        ...


def custom_trunk(inputs: Any, config: NetworkConfig, seed: int, allowed: str) -> Any:
    """Calls the builder of a network, if it is the one that this process allows.

    Args:
        inputs: As in `Builder`.
        config: As in `Builder`.
        seed: As in `Builder`.
        allowed: `module:function` of the campaign file of this process; empty for none.

    Raises:
        BundleError: Another builder is allowed, it cannot be imported, it raised, or what it
            returned is no trunk.
    """
    if config.builder != allowed:
        raise BundleError(
            f"expected builder {allowed!r}, which model.builder of the campaign file allows here, "
            f"got a network of builder {config.builder!r}; it was not imported. Whoever trusts it "
            "names it in model.builder"
        )
    where = f"model.builder {allowed}"
    module, _, function = allowed.partition(":")
    try:
        builder: Builder = getattr(importlib.import_module(module), function)
        made = builder(inputs, config, seed)
        _expect_trunk(made, where)
        model = keras.Model(inputs, made, name=TRUNK)
    except BundleError:
        raise
    except Exception as exc:
        raise BundleError(f"{where}: {told(exc)}") from exc
    others = sorted({variable.dtype for variable in model.weights} - {"float32"})
    if others:
        raise BundleError(f"{where}: expected float32 weights, got {', '.join(others)}")
    return model(inputs)


def told(error: Exception) -> str:
    """An error of a user's layers on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _expect_trunk(made: Any, where: str) -> None:
    shape = tuple(getattr(made, "shape", ()))
    rank, dtype = len(shape), getattr(made, "dtype", type(made).__name__)
    if rank != 2 or None not in shape[:1] or None in shape[1:] or dtype != "float32":
        raise BundleError(
            f"{where}: expected a float32 tensor of shape (None, width), got {dtype} of {shape}"
        )
