"""What a model eats: the names and meaning of its inputs and how they are normalized.

Rules of this file
1. Data and checks only; the features themselves are compiled and computed in `stream.features.plan`.
2. Two contracts with one digest mean the same numbers in the same places.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

Float32s: TypeAlias = npt.NDArray[np.float32]
Float64s: TypeAlias = npt.NDArray[np.float64]


TABLE_DEFINITION = '{"features":"table"'
"""How the definition of the features of a table begins."""


class FeatureContract(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The feature vector that a model was fitted on.

    Attributes:
        names: Name of each of the F features, in order.
        definition: Canonical JSON of the compiled features.
        kernel_version: Rises when the feature kernel computes different numbers from one definition.
    """

    names: tuple[str, ...]
    definition: str
    kernel_version: int = 1

    def __post_init__(self) -> None:
        if not self.names:
            raise ValueError("expected at least one feature name, got none")
        if len(set(self.names)) != len(self.names):
            twice = sorted({name for name in self.names if self.names.count(name) > 1})
            raise ValueError(f"expected each feature name once, got more of {', '.join(twice)}")

    @property
    def is_of_tables(self) -> bool:
        """Whether the features are columns of a table, which no worker has."""
        return self.definition.startswith(TABLE_DEFINITION)

    @property
    def digest(self) -> str:
        """16 hex digits that stand for the whole contract."""
        canonical = msgspec.json.encode([self.names, self.definition, self.kernel_version])
        return hashlib.sha256(canonical).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Normalization:
    """Constants of z = min(max((x - mean) / std, -clip), clip), fitted once, never updated online.

    Attributes:
        mean: Shape (F,), float64, read-only.
        std: Shape (F,), float64, read-only, above 0: the trainer floors it.
        clip: Largest absolute z; infinity for no bound.

    Raises:
        ValueError: Shapes differ, a value is not finite, or std or clip is not above 0.
    """

    mean: Float64s
    std: Float64s
    clip: float

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            values = np.array(getattr(self, name), dtype=np.float64, order="C")
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        if self.mean.ndim != 1 or self.mean.shape != self.std.shape:
            raise ValueError(
                "expected mean and std of one shape (F,), "
                f"got {self.mean.shape} and {self.std.shape}"
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all()):
            raise ValueError("expected finite mean and std, got NaN or infinity")
        if not (self.std > 0).all():
            raise ValueError(f"expected std above 0, got {self.std.min()}")
        if not self.clip > 0:
            raise ValueError(f"expected clip above 0, got {self.clip}")

    @classmethod
    def identity(cls, features: int) -> Normalization:
        """Leaves `features` values as they are."""
        return cls(np.zeros(features), np.ones(features), np.inf)
