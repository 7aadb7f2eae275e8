"""Two sets of vectors, bit by bit.

Pure: arrays in, arrays out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from models.contract import Normalization
from stream.columns import Bools, Float32s, Float64s, Int64s
from stream.features.normalization import normalize
from stream.features.plan import FeaturePlan


def normalized(values: Float64s, plan: FeaturePlan, constants: Normalization) -> Float32s:
    """What `stream.features.plan.apply` makes of features with the constants of a model.

    Shapes (n, F).
    """
    out = np.empty(values.shape, np.float32)
    normalize(
        values, np.ones(len(values), np.bool_), plan.transform_codes,
        constants.mean, constants.std, constants.clip, out,
    )  # fmt: skip
    return out


def differs(logged: Float32s, replayed: Float32s) -> Bools:
    """Where the bits differ: -0.0 is not 0.0, and a NaN equals itself. Shape (n, F), bool."""
    unequal: Bools = logged.view(np.uint32) != replayed.view(np.uint32)
    return unequal


@dataclass(frozen=True, slots=True)
class Measured:
    """How much n logged vectors and n replayed ones differ.

    Attributes:
        vectors: n.
        equal: How many are the same in every bit.
        different_bytes: Bytes that differ.
        differences: Vectors that differ, by feature. Shape (F,), int64.
        largest: Largest absolute difference, by feature; infinite where one is not finite.
            Shape (F,), float64.
        gap: Sum of |logged - replayed|, by feature, of finite values. Shape (F,), float64.
        size: Sum of |logged| + |replayed|, likewise.
    """

    vectors: int
    equal: int
    different_bytes: int
    differences: Int64s
    largest: Float64s
    gap: Float64s
    size: Float64s

    @classmethod
    def of(cls, logged: Float32s, replayed: Float32s) -> Self:
        """Measures vectors. Shape (n, F), float32, both."""
        unequal = differs(logged, replayed)
        finite = np.isfinite(logged) & np.isfinite(replayed)
        a, b = (np.where(finite, x, 0).astype(np.float64) for x in (logged, replayed))
        gap = np.abs(a - b)
        return cls(
            vectors=len(logged),
            equal=int((~unequal.any(axis=1)).sum()),
            different_bytes=int((logged.view(np.uint8) != replayed.view(np.uint8)).sum()),
            differences=unequal.sum(axis=0),
            largest=np.where(unequal & ~finite, np.inf, gap).max(axis=0, initial=0.0),
            gap=gap.sum(axis=0),
            size=(np.abs(a) + np.abs(b)).sum(axis=0),
        )

    @classmethod
    def nothing(cls, features: int) -> Self:
        """Of no vectors."""
        return cls.of(*np.empty((2, 0, features), np.float32))

    def __add__(self, other: Self) -> Measured:
        return Measured(
            self.vectors + other.vectors,
            self.equal + other.equal,
            self.different_bytes + other.different_bytes,
            self.differences + other.differences,
            np.maximum(self.largest, other.largest),
            self.gap + other.gap,
            self.size + other.size,
        )

    @property
    def relative(self) -> Float64s:
        """Gap / size by feature, from 0 (the same) to 1; 0 where all is 0. Shape (F,), float64."""
        return self.gap / np.where(self.size > 0, self.size, 1.0)
