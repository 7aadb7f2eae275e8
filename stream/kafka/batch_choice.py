"""Which batches of a fetch response are parsed, up to which offset, and what comes then.

Rules of this file
1. A batch that is broken ends the choice: what comes before it is read, and then it is refused.
2. A batch is stepped over, whatever is in it, when the skip list names all of its offsets that are
   still to be read. Where a broken one ends its header says, but not beyond the next batch.
3. A batch that does not even say where it belongs is stepped over when the skip list names the offset
   that comes next; the next fetch begins behind the list's range.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stream.columns import Int64s
from stream.kafka import record_kernels as kernels
from stream.kafka.batch_checks import (
    CorruptRecords,
    Fault,
    Place,
    claimed_offsets,
    header_fault,
    tail_fault,
)
from stream.kafka.skip_list import Skipped, is_kept, resumed, within


class Choice:
    """How much of a response is read.

    Args:
        place: The partition.
        position: Offset that was asked for.

    Attributes:
        rows: Indices of the headers of the batches to parse.
        end: Offset up to which everything is read or stepped over.
        fault: The error that comes then; None when the response just ends.
    """

    def __init__(self, place: Place, position: int) -> None:
        self.rows: list[int] = []
        self.end = self._position = position
        self.fault: CorruptRecords | None = None
        self._place = place
        self._ranges = place.rules.ranges(place.topic, place.partition)
        self._skipped: list[tuple[int, int, int]] = []  # first, last, records

    def look(
        self, data: bytes, headers: list[list[int]], is_wanted: Callable[[list[int]], bool]
    ) -> None:
        """Chooses among the batches of a response.

        Args:
            data: The response.
            headers: The rows of `kernels.read_headers`.
            is_wanted: Asked about each sound batch in turn; False for what is never shown.
        """
        earliest = 0
        for i, row in enumerate(headers):
            fault = header_fault(row, data, earliest)
            is_shown = fault is None and is_wanted(row)
            base = row[kernels.BASE_OFFSET]
            last = base + row[kernels.LAST_DELTA]
            if fault is not None:
                following = headers[i + 1] if i + 1 < len(headers) else None
                base, last = claimed_offsets(row, earliest, self.end, following)
            resume = self._resumed(base, last)
            if resume > last or (resume > base and base != row[kernels.BASE_OFFSET]):
                if fault is not None or is_shown:
                    self._skip(max(base, self.end), min(last, resume - 1), row[kernels.COUNT])
                if base != row[kernels.BASE_OFFSET]:  # nobody knows where those after it belong
                    self.end = resume
                    return
                self.end = max(self.end, last + 1)
            elif fault is not None:
                self.fault = self._place.refuse(fault, base, last)
                return
            elif last >= self.end:
                self.end = last + 1
                if is_shown:
                    self.rows.append(i)
            earliest = last + 1
        self._look_behind(data, headers[-1][kernels.STOP] if headers else 0)

    def _resumed(self, base: int, last: int) -> int:
        """Where reading goes on, when a batch begins with what the skip list names; else its base."""
        if not self._ranges or last < self.end:
            return base
        first = max(base, self.end)
        resume = resumed(self._ranges, first)
        return resume if resume > first else base

    def _look_behind(self, data: bytes, at: int) -> None:
        """Looks at the bytes after the last whole batch."""
        fault = tail_fault(data, at)
        if fault is not None:
            resume = resumed(self._ranges, self.end)
            if resume == self.end:
                self.fault = self._place.refuse(fault, self.end, self.end)
            self.end = resume

    def cut(self, k: int, row: list[int], fault: Fault | None) -> None:
        """Only the first k of the chosen batches are read.

        Args:
            k: How many.
            row: Header of the batch that comes next.
            fault: What is wrong with it, None when it is left to the next fetch.
        """
        base = row[kernels.BASE_OFFSET]
        self.end = max(base, self._position)
        if fault is None:
            self.fault = None
        else:
            self.fault = self._place.refuse(fault, base, base + row[kernels.LAST_DELTA])
        self.rows = self.rows[:k]

    def without_skipped(self, columns: Int64s) -> Int64s:
        """The columns of `kernels.read_records` without the records that the skip list names."""
        for part in self._ranges:
            kept = is_kept((part,), columns[0])
            if not kept.all():
                gone = columns[0, ~kept]
                self._skip(int(gone[0]), int(gone[-1]), len(gone))
                columns = np.ascontiguousarray(columns[:, kept])
        return columns

    def _skip(self, first: int, last: int, records: int) -> None:
        """Takes down what was left out; the header of a broken batch may say any number of records."""
        self._skipped.append((first, last, min(max(records, 0), last - first + 1)))

    def tell_skipped(self, on_skip: Callable[[Skipped], None]) -> None:
        """Says what was left out before the end, once for each range of the skip list."""
        topic, partition, _ = self._place
        for part in self._ranges:
            found = [one for one in self._skipped if any(within((part,), one[0], one[1] + 1))]
            found = [one for one in found if one[0] < self.end]
            if found:
                first, last = min(f for f, _, _ in found), max(f for _, f, _ in found)
                on_skip(Skipped(topic, partition, first, last, sum(n for _, _, n in found)))
