"""Named float32 arrays as one run of bytes: the weights and the golden batch of a bundle.

Rules of this file
1. Little-endian, C order, one array after the other, no header: names and shapes are in the
   manifest, so reading them interprets nothing.
2. Every number is finite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from models.contract import Float32s
from models.errors import BundleError
from models.manifest import ArrayEntry


def entries(arrays: Mapping[str, Float32s]) -> tuple[ArrayEntry, ...]:
    """What the manifest says of the arrays."""
    return tuple(ArrayEntry(name, array.shape) for name, array in arrays.items())


def pack(arrays: Mapping[str, Float32s]) -> bytes:
    """The bytes of the file."""
    return b"".join(array.astype("<f4", order="C").tobytes() for array in arrays.values())


def unpack(data: bytes, layout: tuple[ArrayEntry, ...], where: str) -> dict[str, Float32s]:
    """Cuts a file into its arrays, read-only and not copied; `where` names it in errors.

    Raises:
        BundleError: The shapes do not add up to the file, a name comes twice, or a number is
            NaN or infinite.
    """
    sizes = [math.prod(array.shape) for array in layout]
    if 4 * sum(sizes) != len(data):
        raise BundleError(f"{where}: expected {4 * sum(sizes)} bytes of arrays, got {len(data)}")
    if len({array.name for array in layout}) != len(layout):
        raise BundleError(f"{where}: expected each array name once, got one twice")
    numbers = np.frombuffer(data, dtype="<f4")
    if not np.isfinite(numbers).all():
        raise BundleError(f"{where}: expected finite numbers, got NaN or infinity")
    ends = np.cumsum(sizes).tolist()
    return {
        array.name: numbers[end - size : end].reshape(array.shape)
        for array, size, end in zip(layout, sizes, ends, strict=True)
    }
