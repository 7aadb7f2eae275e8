"""A batch of events as the arrays that the feature kernel is compiled for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from stream.columns import CategoryColumn, EventBatch, Int64s
from stream.compiled.zone_set import ZoneSet
from stream.features.kernel_tables import Events

_Scalar = TypeVar("_Scalar", bound=np.generic)


def kernel_events(
    rows: Int64s, batch: EventBatch, zones: ZoneSet, columns: Sequence[CategoryColumn]
) -> Events:
    """The columns as the kernel is compiled for.

    Args:
        rows: Row of the customer of each event. Shape (n,), int64.
        batch: n events.
        zones: The time zones; those that the events name join them.
        columns: What the last rows of `EventBatch.category` keep; those of time zones come last.
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
        is_last=_column(batch.is_last),
        zone=np.concatenate([np.full(len(batch), -1), zone]).reshape(1 + len(named), len(batch)),
        zones=tables,
    )


def _column(array: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
    """Aligned, contiguous and writable: another kind of array would be compiled for anew."""
    return np.require(array, requirements=("C", "A", "W"))
