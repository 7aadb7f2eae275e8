"""Examples of one period, learned from or judged on: small columns in memory, features by the block.

Rules of this file
1. Features stay as the kernel gave them, in float64 and perhaps on disk; a block is normalized when it
   is read, as the worker does it.
2. The order of the examples follows from the seed alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from models.contract import Normalization
from stream.columns import Bools, Float32s, Float64s, Int64s
from stream.features.normalization import normalize
from trainer.examples.chance import Logged

BLOCK_ROWS = 65_536
BLOCK_BYTES = 32 << 20
"""Most rows, and most bytes of features, of a block."""
POOL_BLOCKS = 4
"""Blocks that are shuffled together: enough that neighbours in the store are strangers in a batch."""


class Values(Protocol):
    """m rows of F features as the kernel gave them, float64, NaN where missing."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice) -> Float64s: ...


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """n examples.

    Attributes:
        values: Where their features are, with those of others.
        transforms: Transform of each feature, as `stream.features.normalization` reads them. Shape (F,), int64.
        normalization: What makes them inputs of the network.
        rows: Place of each example in `values`, rising. Shape (n,), int64.
        strategy: Output of the network that was used. Shape (n,), int64.
        outcome: Whether a conversion followed. Shape (n,), bool.
        time_ms: When the strategy was used, epoch milliseconds. Shape (n,), int64.
        customer: Number of the customer. Shape (n,), int64.
        weight: How much the example counts, such as 1 / propensity; 1 on average. Shape (n,), float64.
        logged: What the log says of chance.
        timed: Whether `time_ms` is a time: in a table without one it is a hash of the customer.
        amount: Money that followed; None when nobody said. Shape (n,), float64.
    """

    values: Values
    transforms: Int64s
    normalization: Normalization
    rows: Int64s
    strategy: Int64s
    outcome: Bools
    time_ms: Int64s
    customer: Int64s
    weight: Float64s
    logged: Logged
    timed: bool = True
    amount: Float64s | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def features(self) -> int:
        """F."""
        return len(self.transforms)

    @property
    def block_rows(self) -> int:
        """Rows of the store that are read at once."""
        return max(min(BLOCK_ROWS, BLOCK_BYTES // (8 * self.features)), 1)

    def take(self, keep: Bools | Int64s) -> Part:
        """Some of the examples, in rising order."""
        return replace(
            self,
            rows=self.rows[keep],
            strategy=self.strategy[keep],
            outcome=self.outcome[keep],
            time_ms=self.time_ms[keep],
            customer=self.customer[keep],
            weight=self.weight[keep],
            logged=self.logged.take(keep),
            amount=None if self.amount is None else self.amount[keep],
        )

    def normalized_with(self, normalization: Normalization) -> Part:
        """The same examples as inputs of another model."""
        return replace(self, normalization=normalization)

    def raw_blocks(self) -> Iterator[tuple[slice, Float64s]]:
        """The features before any transform, a block at a time: which examples, and (b, F) float64."""
        for first in range(0, len(self.values), self.block_rows):
            where, values = self._block(first)
            if len(values):
                yield where, values

    def blocks(self) -> Iterator[tuple[slice, Float32s]]:
        """The inputs of the network in order: which examples, and (b, F) float32."""
        for where, values in self.raw_blocks():
            yield where, self._inputs(values)

    def shuffled_blocks(self, seed: int) -> Iterator[tuple[Int64s, Float32s]]:
        """The inputs of the network in an order of chance: which examples, and (b, F) float32."""
        random = np.random.default_rng(seed)
        firsts = random.permutation(np.arange(0, len(self.values), self.block_rows))
        for at in range(0, len(firsts), POOL_BLOCKS):
            index, parts = [], []
            for first in firsts[at : at + POOL_BLOCKS].tolist():
                where, values = self._block(first)
                index.append(np.arange(where.start, where.stop))
                parts.append(self._inputs(values))
            order = random.permutation(sum(map(len, index)))
            if len(order):
                yield np.concatenate(index)[order], np.concatenate(parts)[order]

    def _block(self, first: int) -> tuple[slice, Float64s]:
        """The examples that stand in the block from `first` on, and their features."""
        start, stop = np.searchsorted(self.rows, (first, first + self.block_rows)).tolist()
        if start == stop:
            return slice(start, stop), np.empty((0, self.features))
        values = self.values[first : first + self.block_rows]
        return slice(start, stop), values[self.rows[start:stop] - first]

    def _inputs(self, values: Float64s) -> Float32s:
        out = np.empty(values.shape, np.float32)
        normalize(
            values, np.ones(len(values), np.bool_), self.transforms, self.normalization.mean,
            self.normalization.std, self.normalization.clip, out,
        )  # fmt: skip
        return out
