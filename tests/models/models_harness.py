"""Small networks and a bundle of one, for the tests of networks, contracts and bundles."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from models import network
from models.backend import keras
from models.bundle import Bundle, Fit
from models.contract import FeatureContract, Normalization
from models.manifest import DataWindow, NetworkConfig
from tests.bundles import bundle_of

CREATED = datetime(2026, 11, 24, 10, 45, 12, tzinfo=UTC)
FEATURES, STRATEGIES = 7, ("mail", "push", "nothing")
CUSTOM = {"network": "custom", "hidden": (), "builder": "tests.models.custom_networks:normalized"}
DCN = {"network": "dcn", "hidden": (6, 4), "cross_layers": 3, "cross_rank": 2}
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "gelu": lambda x: x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
}


def config(**changes: Any) -> NetworkConfig:
    """A small mlp with a response head, or what `changes` make of it."""
    plain = {"network": "mlp", "head": "response", "inputs": FEATURES, "outputs": 3, "hidden": (5,)}
    return msgspec.convert(plain | changes, NetworkConfig)


def customers(n: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(size=(n, FEATURES)).astype(np.float32)


def fitted(network_config: NetworkConfig) -> Any:
    """Trained for a moment on outcomes that depend on the customer and on the strategy."""
    model, x = network.build(network_config, 3, network_config.builder), customers(512)
    effect = np.linspace(-1, 1, network_config.outputs)
    y = (x[:, :1] + effect > 0).astype(np.float32)
    if network_config.head == "choice":
        y = np.eye(network_config.outputs, dtype=np.float32)[(x[:, 0] > 0).astype(int)]
    loss = {"choice": "categorical_crossentropy", "response": "binary_crossentropy"}
    model.compile(optimizer=keras.optimizers.Adam(0.02), loss=loss[network_config.head])
    history = model.fit(x, y, epochs=4, batch_size=32, verbose=0).history["loss"]
    assert history[-1] < 0.9 * history[0]
    return model


def make_bundle(model: Any, network_config: NetworkConfig) -> Bundle:
    return bundle_of(
        model, network_config, FeatureContract(tuple(f"feature_{i}" for i in range(FEATURES)), '{"ops":[]}'),
        STRATEGIES, customers(16, seed=1),
        normalization=Normalization(np.arange(FEATURES) / 3, np.full(FEATURES, 0.1), 8.0),
        fit=Fit(CREATED, DataWindow(0, 1_000), 3, {"auc": 0.75}, {"report.json": b"{}"}),
    )  # fmt: skip
