"""Networks of every kind, bundles with all weights drawn, and rows to score."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from models import network
from models.bundle import Bundle, Fit, Golden
from models.contract import FeatureContract
from models.manifest import DataWindow, NetworkConfig
from tests.bundles import bundle_of

CONFIGS = [
    NetworkConfig(network="mlp", head="response", inputs=36, outputs=10, hidden=(32,)),
    NetworkConfig(network="mlp", head="choice", inputs=37, outputs=11, hidden=(33, 17)),
    NetworkConfig(network="linear", head="response", inputs=5, outputs=3),
    NetworkConfig(
        network="mlp", head="response", inputs=9, outputs=1, hidden=(8,), activation="gelu"
    ),
    NetworkConfig(network="mlp", head="choice", inputs=784, outputs=10, hidden=(32,)),
    NetworkConfig(
        network="dcn", head="response", inputs=36, outputs=10, hidden=(32, 16), dropout=0.4,
        cross_layers=2, cross_rank=6,
    ),
    NetworkConfig(
        network="custom", head="choice", inputs=12, outputs=4,
        builder="tests.models.custom_networks:normalized",
    ),
]  # fmt: skip
STRATEGIES = tuple(f"strategy-{i}" for i in range(11))


def contract_of(inputs: int) -> FeatureContract:
    return FeatureContract(tuple(f"feature_{i}" for i in range(inputs)), "{}")


def make_bundle(config: NetworkConfig, seed: int = 0, shift: float = 0.0, **parts: Any) -> Bundle:
    """A network with all its weights drawn, so that no two rows or strategies agree by chance."""
    rng = np.random.default_rng(seed)
    model = network.build(config, builder=config.builder)
    weights = {
        name: (rng.normal(size=array.shape) / np.sqrt(len(array))).astype(np.float32)
        for name, array in network.weights(model).items()
    }
    weights |= {name: abs(array) for name, array in weights.items() if "variance" in name}
    model.set_weights(network.arrange(model, weights))
    x = rng.normal(size=(40, config.inputs)).astype(np.float32)
    created = datetime(2026, 11, 24, tzinfo=UTC) + timedelta(minutes=seed)
    outputs = np.asarray(model(x, training=False)) + np.float32(shift)
    plain: dict[str, Any] = {
        "weights": weights, "golden": Golden(x, outputs), "fit": Fit(created, DataWindow(0, 1), seed),
    }  # fmt: skip
    strategies = STRATEGIES[: config.outputs]
    return bundle_of(model, config, contract_of(config.inputs), strategies, x, **plain | parts)


def rows_of(config: NetworkConfig, n: int, seed: int = 7) -> Any:
    """Feature vectors as they come: some clipped, some all zero, most in between."""
    x = np.random.default_rng(seed).normal(size=(n, config.inputs)).astype(np.float32)
    x[::17] = 0
    x[5::29] = np.clip(x[5::29] * 100, -8, 8)
    return x


def custom(function: str, **changes: Any) -> Bundle:
    network = NetworkConfig(
        network="custom", head="choice", inputs=5, outputs=3,
        builder=f"tests.models.custom_networks:{function}",
    )  # fmt: skip
    return make_bundle(network, **changes)
