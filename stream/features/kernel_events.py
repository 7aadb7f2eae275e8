"""A batch of events as the arrays that the feature kernel is compiled for, checked once for a chunk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from stream.columns import CategoryColumn, EventBatch, Float64s, Int64s
from stream.compiled.zone_set import ZoneSet
from stream.features.kernel_tables import Events

_Scalar = TypeVar("_Scalar", bound=np.generic)

NONE_EMPTIED = np.empty(0, np.int64)
"""No event of a chunk empties a row."""


def kernel_events(
    rows: Int64s, batch: EventBatch, zones: ZoneSet, columns: Sequence[CategoryColumn],
    emptied: Int64s,
) -> Events:  # fmt: skip
    """The columns as the kernel is compiled for.

    Args:
        rows: Row of the customer of each event. Shape (n,), int64.
        batch: n events.
        zones: The time zones; those that the events name join them.
        columns: What the last rows of `EventBatch.category` keep; those of time zones come last.
        emptied: Row that each empties. Shape (n,) or (0,), int64.
    """
    named = batch.category[len(batch.category) - sum(one.keeps == "zone" for one in columns) :]
    zone, tables = zones.find(_column(named.reshape(-1)))
    return Events(
        row=_column(rows),
        offset=_column(batch.offset),
        # 0 is "never" in a row: what is older than 1970 happened in its first millisecond
        time_ms=np.maximum(batch.time_ms, 1),
        event_hash=_column(batch.event_hash),
        type_code=_column(batch.type_code),
        number=_column(batch.number),
        category=_column(batch.category),
        consent=_column(batch.consent),
        consent_only=_column(batch.consent_only),
        zone=np.concatenate([np.full(len(batch), -1), zone]).reshape(1 + len(named), len(batch)),
        zones=tables,
        emptied=_column(emptied),
    )


def _column(array: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
    """Aligned, contiguous and writable: another kind of array would be compiled for anew."""
    return np.require(array, requirements=("C", "A", "W"))


class Expected(NamedTuple):
    """What arguments have to fit.

    Attributes:
        words: Words of a row.
        types: Declared event types.
        numbers: Rows of `EventBatch.number`.
        categories: Rows of `EventBatch.category`.
        purposes: Rows of `EventBatch.consent`.
        topics: Event topics.
    """

    words: int
    types: int
    numbers: int
    categories: int
    purposes: int
    topics: int

    def check(
        self, state: Float64s, rows: Int64s, batch: EventBatch, topic: int, emptied: Int64s
    ) -> None:
        """Makes sure that the kernel can trust its arguments; they are those of `plan.apply`.

        Raises:
            ValueError: It cannot.
        """
        n = len(batch)
        expectations = (
            (state.dtype == np.float64 and state.flags.c_contiguous and state.flags.writeable,
             "state: expected a writable C-contiguous float64 matrix", state.dtype),
            (state.ndim == 2 and state.shape[1] == self.words,
             f"state: expected {self.words} words in a row", state.shape),
            (rows.dtype == np.int64 and rows.shape == (n,), f"rows: expected {n} int64", rows.shape),
            (n == 0 or (rows.min() >= 0 and rows.max() < len(state)),
             f"rows: expected row numbers below {len(state)}", rows),
            (emptied.dtype == np.int64 and len(emptied) in {0, n},
             f"emptied: expected {n} int64, or none", emptied.shape),
            (len(emptied) == 0 or emptied.max() < len(state),
             f"emptied: expected row numbers below {len(state)}", emptied),
            (n == 0 or (batch.type_code.min() >= -1 and batch.type_code.max() < self.types),
             f"type_code: expected codes below {self.types}", batch.type_code),
            (batch.event_hash.shape == (n,), f"event_hash: expected {n}", batch.event_hash.shape),
            (batch.number.shape == (self.numbers, n),
             f"number: expected {self.numbers} rows of {n}", batch.number.shape),
            (batch.category.shape == (self.categories, n),
             f"category: expected {self.categories} rows of {n}", batch.category.shape),
            (batch.consent.shape in ((0, n), (self.purposes, n)),
             f"consent: expected {self.purposes} rows of {n}, or none", batch.consent.shape),
            (0 <= topic < self.topics, f"topic: expected an index below {self.topics}", topic),
        )  # fmt: skip
        for holds, expected, got in expectations:
            if not holds:
                raise ValueError(f"{expected}, got {got}")
