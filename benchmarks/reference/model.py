"""The model of the reference job: the float64 truth, and the bundle of it that the worker loads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import msgspec
import numpy as np
import numpy.typing as npt

from models.bundle import Bundle, Fit, Golden
from models.contract import FeatureContract, Normalization
from models.manifest import DataWindow, NetworkConfig

MODEL_FILE = Path(__file__).parents[1] / "reference" / "model.json"
_GOLDEN_ROWS = 64

Float64s = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ReferenceModel:
    """Normalization, 36 -> 32 relu -> 10 softmax.

    Attributes:
        mean: Shape (36,), as are all of them float64.
        std: Shape (36,).
        w1: Shape (36, 32).
        b1: Shape (32,).
        w2: Shape (32, 10).
        b2: Shape (10,).
    """

    mean: Float64s
    std: Float64s
    w1: Float64s
    b1: Float64s
    w2: Float64s
    b2: Float64s

    @classmethod
    def load(cls, file: Path = MODEL_FILE) -> Self:
        """Reads the constants."""
        arrays = msgspec.json.decode(file.read_bytes())
        return cls(**{name: np.array(values, np.float64) for name, values in arrays.items()})

    def normalize(self, features: Float64s) -> Float64s:
        """Z-scores. Shape (n, 36)."""
        z: Float64s = (features - self.mean) / self.std
        return z

    def forward(self, normalized: Float64s) -> Float64s:
        """Shares of the strategies, (n, 36) -> (n, 10), each row adding up to 1."""
        logits = np.maximum(normalized @ self.w1 + self.b1, 0) @ self.w2 + self.b2
        shares: Float64s = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        return shares

    def bundle(self, contract: FeatureContract, strategies: tuple[str, ...]) -> Bundle:
        """A bundle for a worker whose features are those of the reference job, in its order.

        Its golden batch is computed in float64 here, so a worker that accepts it has been checked
        against this file.
        """
        rng = np.random.default_rng(0)
        inputs = rng.standard_normal((_GOLDEN_ROWS, len(self.mean)), np.float32)
        weights = {
            "hidden_0/kernel": self.w1,
            "hidden_0/bias": self.b1,
            "choice/kernel": self.w2,
            "choice/bias": self.b2,
        }
        return Bundle.create(
            contract=contract,
            normalization=Normalization(self.mean, self.std, np.inf),
            strategies=strategies,
            network=NetworkConfig(
                network="mlp",
                head="choice",
                inputs=len(self.mean),
                outputs=len(self.b2),
                hidden=(len(self.b1),),
            ),
            weights={name: array.astype(np.float32) for name, array in weights.items()},
            golden=Golden(inputs, self.forward(inputs.astype(np.float64)).astype(np.float32)),
            fit=Fit(created=datetime.now(UTC), window=DataWindow(0, 1), seed=0),
        )
