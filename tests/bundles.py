"""Bundles of networks that tests make up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from models import network
from models.bundle import Bundle, Fit, Golden
from models.contract import FeatureContract, Normalization
from models.manifest import DataWindow, NetworkConfig

CREATED = datetime(2026, 1, 1, tzinfo=UTC)


def bundle_of(
    model: Any,
    config: NetworkConfig,
    contract: FeatureContract,
    strategies: tuple[str, ...],
    inputs: np.ndarray,
    /,
    **parts: Any,
) -> Bundle:
    """The bundle of a Keras model, with the scores of `inputs` as its golden batch.

    `parts` stand in the place of what `Bundle.create` is given here; seed is that of the fit.
    """
    plain: dict[str, Any] = {
        "contract": contract,
        "normalization": Normalization.identity(config.inputs),
        "strategies": strategies,
        "network": config,
        "weights": network.weights(model),
        "golden": Golden(inputs, np.asarray(model(inputs, training=False))),
        "fit": Fit(CREATED, DataWindow(0, 1), parts.pop("seed", 1)),
    }
    return Bundle.create(**plain | parts)


def remade(bundle: Bundle, **parts: Any) -> Bundle:
    """Another version of a bundle, with other parts."""
    manifest = bundle.manifest
    plain: dict[str, Any] = {
        "contract": manifest.contract, "normalization": bundle.normalization,
        "strategies": manifest.strategies, "network": manifest.network,
        "weights": bundle.weights, "golden": bundle.golden,
        "fit": Fit(manifest.created, manifest.window, seed=manifest.seed + 1_000),
    }  # fmt: skip
    return Bundle.create(**plain | parts)
