"""Customers that are in several partitions: their events meet in none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stream.columns import UInt64s


class Spread(NamedTuple):
    """Customers of all partitions.

    Attributes:
        customers: How many there are.
        several: How many of them are in more than one partition.
    """

    customers: int = 0
    several: int = 0

    def __add__(self, other: object) -> Spread:
        """Of different customers."""
        assert isinstance(other, Spread)
        return Spread(self.customers + other.customers, self.several + other.several)


def spread(partitions: Sequence[UInt64s]) -> Spread:
    """Counts customers by their hashes, as `CustomerTable.hashes` has them.

    Args:
        partitions: The hashes of each partition, each customer once. Shapes (customers,), uint64.
    """
    if not partitions:
        return Spread()
    _, counts = np.unique(np.concatenate(partitions), return_counts=True)
    return Spread(len(counts), int((counts > 1).sum()))
