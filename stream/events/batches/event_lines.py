"""What is read as one event each: records, and the elements of those that hold a batch.

Rules of this file
1. A record without an array of events is one line, as in a campaign without batches. An array of none,
   or of too many, is one line, too, which is no event.
2. Rows are in the order of records, then of elements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from stream.columns import Bools, Element, Int32s, Int64s, Spans
from stream.compiled.keyed_hash import PROCESS_KEY
from stream.events.batches.element_kernels import mark_last
from stream.events.present import Layers, Refused, Root, shown, value_at
from stream.events.scan import Scan

WHOLE = -1
"""In the place of an element: the whole record."""


class RecordRoots(Protocol):
    """The records as objects."""

    def __call__(self, record: int) -> dict[str, Any]:
        """One record.

        Raises:
            Refused: It is no object.
        """


@dataclass(frozen=True, slots=True)
class Arrays:
    """The arrays of events in n records, and the m lines of all of them.

    Attributes:
        path: Of each record the path of its array, "" for none.
        own: Paths that are looked for in elements alone.
        count: How many elements each array has, -1 for no array. Shape (n,), int64.
        most: How many it may have.
        start: First byte of each array. Shape (n,), int64.
        end: The byte after it. Shape (n,), int64.
        below: Whether elements lie over the record's `data`. Shape (n,), bool.
        line_start: First byte of each line that is an element. Shape (m,), int64.
        line_size: Its length. Shape (m,), int64.
        is_quiet: Whether it is clear that a record denies nothing. Shape (n,), bool.
    """

    path: list[str]
    own: frozenset[str]
    count: Int64s
    most: int
    start: Int64s
    end: Int64s
    below: Bools
    line_start: Int64s
    line_size: Int64s
    is_quiet: Bools


@dataclass(frozen=True, slots=True)
class Lines:
    """m lines of n records.

    Attributes:
        found: What a scan found in each.
        record: Record of each, rising. Shape (m,), int64.
        element: Index in the batch of its record, WHOLE for a record. Shape (m,), int32.
        heard: What each says of consent, None where that is not read yet. Shape (purposes, m), int8.
        arrays: Where the elements stand, None where there are no batches.
    """

    found: Scan
    record: Int64s
    element: Int32s
    heard: npt.NDArray[np.int8] | None = None
    arrays: Arrays | None = None

    @classmethod
    def whole(cls, found: Scan) -> Lines:
        """Every record as it is."""
        n = len(found.ok)
        return cls(found, np.arange(n), np.full(n, WHOLE, np.int32))

    def is_empty(self, i: int) -> bool:
        """Whether line i is a record with a batch of no events."""
        return self.arrays is not None and int(self.arrays.count[self.record[i]]) == 0

    def is_quiet(self, i: int) -> bool:
        """Whether it is clear that the record of line i denies nothing."""
        return self.arrays is not None and bool(self.arrays.is_quiet[self.record[i]])

    def fault(self, i: int, root: dict[str, Any]) -> Refused | None:
        """Why line i is no event, whatever it says.

        Args:
            i: The line.
            root: Its record.
        """
        if self.arrays is None:
            return None
        record, path = int(self.record[i]), self.arrays.path[self.record[i]]
        count, most = int(self.arrays.count[record]), self.arrays.most
        if count > most:
            return Refused(
                "too_many_events", f"expected at most {most} events at {path}, got {count}"
            )
        if self.element[i] == WHOLE:
            return None
        element = self._element(i, root)
        if isinstance(element, dict):
            return None
        place = f"{path}[{self.element[i]}]"
        return Refused("not_object", f"expected a JSON object at {place}, got {shown(element)}")

    def root(self, i: int, root: dict[str, Any]) -> Root:
        """What the paths of line i begin at; `root` is its record."""
        if self.arrays is None or self.element[i] == WHOLE:
            return root
        is_below = bool(self.arrays.below[self.record[i]])
        return Layers(self._element(i, root), root, is_below, self.arrays.own)

    def _element(self, i: int, root: dict[str, Any]) -> Any:
        assert self.arrays is not None
        return value_at(root, self.arrays.path[self.record[i]])[self.element[i]]

    def place(self, i: int) -> Element | None:
        """Where line i stands in its record; None when it is the record."""
        if self.arrays is None or self.element[i] == WHOLE:
            return None
        arrays, record = self.arrays, self.record[i]
        return Element(
            int(self.element[i]), int(arrays.line_start[i]), int(arrays.line_size[i]),
            int(arrays.start[record]), int(arrays.end[record]),
        )  # fmt: skip


def last_of_records(
    record: Int64s, customer: Spans, previous: Spans | None = None
) -> tuple[Bools, Bools | None]:
    """`EventBatch.is_last` and `previous_is_last` of n events, by their records and ids.

    Args:
        record: Record of each, rising. Shape (n,), int64.
        customer: Their customers.
        previous: Ids before logins, in the same buffer.
    """
    n = len(record)
    if previous is None:
        return _last_of_each(record, customer), None
    told = np.flatnonzero(previous.size >= 0)
    event = np.concatenate([np.arange(n), told])
    order = np.argsort(event, kind="stable")
    start = np.concatenate([customer.start, previous.start[told]])[order]
    size = np.concatenate([customer.size, previous.size[told]])[order]
    last = np.empty(len(event), np.bool_)
    last[order] = _last_of_each(record[event[order]], Spans(customer.data, start, size))
    previous_is_last = np.ones(n, np.bool_)
    previous_is_last[told] = last[n:]
    return last[:n], previous_is_last


def _last_of_each(record: Int64s, ids: Spans) -> Bools:
    """Whether the same id does not come again in the same record. Shape (n,), bool."""
    out = np.empty(len(record), np.bool_)
    most = int(np.bincount(record).max(initial=0))
    slots = np.zeros(1 << (2 * most).bit_length(), np.int64)
    mark_last(record, ids.data, ids.start, ids.size, PROCESS_KEY, slots, out)
    return out
