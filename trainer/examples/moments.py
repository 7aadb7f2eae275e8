"""Mean and spread of the transformed features, over more rows than fit into memory.

Rules of this file
1. float64 throughout. A block of rows takes two passes; blocks are merged by the pairwise update of
   Chan, Golub and LeVeque (The American Statistician 37, 1983), which loses no digits where a sum of
   squares loses all: a mean of a million with a spread of one.
2. Values are transformed by the loop that the worker normalizes with.
3. What is missing or infinite after its transform is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from models.contract import Normalization
from stream.columns import Float64s, Int64s
from stream.features.normalization import LOG1P, normalize
from trainer.examples.part import Part

CLIP = 8.0
"""Largest absolute z-score: beyond it a value is an error or an oddity, not more information."""
_CONSTANT = 1e-6
_ROUNDING = 1e-12  # a constant far from 0 has this relative spread, from rounding its mean


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Of some rows, for each of F features.

    Attributes:
        count: Known values. Shape (F,), float64.
        mean: Their mean, 0 of none. Shape (F,), float64.
        squares: Sum of their squared distances from the mean. Shape (F,), float64.
    """

    count: Float64s
    mean: Float64s
    squares: Float64s

    @classmethod
    def none(cls, features: int) -> Moments:
        """Of no rows."""
        return cls(np.zeros(features), np.zeros(features), np.zeros(features))

    @classmethod
    def of(cls, values: Float64s) -> Moments:
        """Of some rows, NaN or infinite where not known. Shape (n, F), float64."""
        known = np.isfinite(values)
        count = known.sum(axis=0, dtype=np.float64)
        mean = np.sum(values, axis=0, where=known) / np.maximum(count, 1.0)
        squares = np.sum(np.square(values - mean), axis=0, where=known)
        return cls(count, mean, squares)

    def merge(self, other: Moments) -> Moments:
        """Of the rows of both; associative and commutative up to rounding."""
        count = self.count + other.count
        part = other.count / np.maximum(count, 1.0)
        distance = other.mean - self.mean
        return Moments(
            count,
            self.mean + distance * part,
            self.squares + other.squares + np.square(distance) * self.count * part,
        )

    def normalization(self) -> Normalization:
        """A feature that never moves keeps its scale: it must not shout when it moves at last."""
        std = np.sqrt(self.squares / np.maximum(self.count, 1.0))
        floor = np.maximum(_CONSTANT, _ROUNDING * np.abs(self.mean))
        return Normalization(self.mean, np.where(std > floor, std, 1.0), CLIP)


def fit_normalization(train: Part) -> Normalization:
    """The normalization of a model.

    Args:
        train: The examples that it is fitted on, and no others.
    """
    moments = Moments.none(train.features)
    for _, values in train.raw_blocks():
        moments = moments.merge(Moments.of(transformed(values, train.transforms)))
    return moments.normalization()


def transformed(values: Float64s, transforms: Int64s) -> Float64s:
    """Features after their transform, NaN where missing.

    Args:
        values: As the kernel gave them. Shape (n, F), float64.
        transforms: Transform of each, as `stream.features.normalization` reads them. Shape (F,), int64.

    Returns:
        Shape (n, F), float64.
    """
    out, features = np.empty_like(values), len(transforms)
    # With mean 0, std 1 and no bound, and into float64, a z-score is the transformed value itself.
    normalize(
        values, np.ones(len(values), np.bool_), transforms,
        np.zeros(features), np.ones(features), math.inf,
        out,  # type: ignore[arg-type]  # numba compiles it for float64 as well
    )  # fmt: skip
    # Not yet known where it writes 0 for a value that is missing.
    missing = np.isnan(values) | ((transforms == LOG1P) & (values < -1.0))
    out[missing] = np.nan
    return out
