"""From the lists that a scan found to columns of events, for all records at once.

A list is scanned a second time: campaigns that look into no list pay nothing.

Rules of this file
1. First `open` all lists: it finds out which records are left to the judge. Then `read` counts.
2. null, the empty string and what is not there are missing; what is no list where one is expected
   cannot be read.
3. The plain counterpart is `stream.events.lists.judged_lists`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from stream.columns import Bools, Bytes, CategoryColumn, Float64s, Int64s, UInt64s
from stream.events.flaws import FIRST, PRESENT, UNREADABLE, tally
from stream.events.lists.list_elements import ListPaths, Opened, Place, open_lists
from stream.events.lists.list_kernels import add_up, choose, count_buckets, mask
from stream.events.paths import FIRST_NUMBER, EventPaths, Paths
from stream.events.property_columns import category_column, number_column
from stream.events.scan import ARRAY, MISSING, Kinds


class ListColumns:
    """Reads the properties that lead into lists.

    Args:
        paths: All that is read of an event.
        columns: What is kept of the categories of lists.
        strict: Whether a value that cannot be read costs its record.

    Attributes:
        properties: Indices of these properties in `EventPaths.properties`.
    """

    def __init__(
        self, paths: EventPaths, columns: Sequence[CategoryColumn], *, strict: bool
    ) -> None:
        self.properties = frozenset(k for k, tail in enumerate(paths.tails) if tail)
        self._strict = strict
        self._numbers = sorted(k for k in self.properties if k < paths.numbers)
        self._first_row = paths.singles
        self._rows = {
            k: [(row, one) for row, one in enumerate(columns) if one.path == paths.properties[k]]
            for k in sorted(self.properties)
            if k >= paths.numbers
        }
        of: dict[Paths, dict[int, Paths]] = {}
        for k in sorted(self.properties):
            of.setdefault(paths.bare[FIRST_NUMBER + k], {})[k] = paths.tails[k]
        self._lists = [(min(tails), ListPaths(tails)) for tails in of.values()]

    def open(
        self, data: Bytes, kind: Kinds, start: Int64s, size: Int64s, ok: Bools
    ) -> dict[int, Opened]:
        """The lists of all properties that lead into some, by property.

        Args:
            data: The buffer of the spans.
            kind: What was picked for each property. Shape (properties, n), uint8.
            start: Shape (properties, n), int64.
            size: Shape (properties, n), int64.
            ok: Records to look at; becomes false where a list is not clear. Shape (n,), bool.
        """
        record = np.arange(len(ok))
        opened = {}
        for k, paths in self._lists:
            one = open_lists(Place(data, kind[k], start[k], size[k], record), paths, ok)
            opened.update(dict.fromkeys(paths.properties, one))
        return opened

    def read(
        self, opened: Mapping[int, Opened], ok: Bools, number: Float64s, category: UInt64s,
        counts: Int64s,
    ) -> None:  # fmt: skip
        """Fills the rows of numbers and categories that are made of lists.

        Args:
            opened: From `open`.
            ok: Records to look at; becomes false where a strict mapping refuses a value.
            number: As in `EventBatch`, of all records.
            category: As in `EventBatch`, of all records.
            counts: A tally of `stream.events.flaws`.
        """
        for k in self._numbers:
            number[k] = self._number(opened[k], k, ok, counts[k])
        for k, rows in self._rows.items():
            first, hashes = self._categories(opened[k], k, ok, counts[k])
            for row, column in rows:
                keep(column, first, hashes, category[self._first_row + row])

    def _number(self, opened: Opened, k: int, ok: Bools, counts: Int64s) -> Float64s:
        """The number that each list is for property k, NaN when missing."""
        is_list = self._is_list(opened.at, ok, counts)
        path = opened.paths.leaves.get(k)
        if path == "":
            counts[PRESENT] += is_list.sum()
            return np.where(is_list, np.diff(opened.first).astype(np.float64), np.nan)
        if path is None:
            value = self._number(opened.inner_of(k), k, ok, counts)
        else:
            place = opened.elements[path]
            value = np.empty(len(place.kind), np.float64)
            mine, fine = tally(1)[0], ok[place.record]
            number_column(
                place.data, place.kind, place.start, place.size, self._strict, fine, value, mine
            )
            self._count(place, fine, mine, ok, counts)
        out = np.empty(len(is_list), np.float64)
        add_up(opened.first, is_list, value, out)
        self._refuse(opened.at.record[np.isinf(out)], ok, counts)
        out[np.isinf(out)] = np.nan
        return out

    def _categories(
        self, opened: Opened, k: int, ok: Bools, counts: Int64s
    ) -> tuple[Int64s, UInt64s]:
        """The first category of each list for property k, as `first`, and the hashes of all."""
        self._is_list(opened.at, ok, counts)
        path = opened.paths.leaves.get(k)
        if path is None:
            first, hashes = self._categories(opened.inner_of(k), k, ok, counts)
            return first[opened.first], hashes
        place = opened.elements[path]
        hashes = np.zeros(len(place.kind), np.uint64)
        mine, fine = tally(1)[0], ok[place.record]
        category_column(
            place.data, place.kind, place.start, place.size, self._strict, fine, hashes, mine
        )
        self._count(place, fine, mine, ok, counts)
        return opened.first, hashes

    def _is_list(self, at: Place, ok: Bools, counts: Int64s) -> Bools:
        """Where lists are; what is there instead cannot be read."""
        live = ok[at.record]
        wrong = live & (at.kind != MISSING) & (at.kind != ARRAY)
        self._refuse(at.record[wrong], ok, counts)
        is_list: Bools = live & (at.kind == ARRAY)
        return is_list

    def _count(self, place: Place, fine: Bools, mine: Int64s, ok: Bools, counts: Int64s) -> None:
        """Adds the tally of elements to that of records; those not `fine` cost their records."""
        counts[PRESENT] += mine[PRESENT]
        counts[UNREADABLE] += mine[UNREADABLE]
        if counts[FIRST] < 0 <= mine[FIRST]:
            counts[FIRST] = place.record[mine[FIRST]]
        ok[place.record[~fine]] = False

    def _refuse(self, records: Int64s, ok: Bools, counts: Int64s) -> None:
        """Counts a value of each of these records that cannot be read, or refuses them."""
        counts[PRESENT] += len(records)
        if self._strict:
            ok[records] = False
        elif len(records):
            counts[UNREADABLE] += len(records)
            counts[FIRST] = records[0] if counts[FIRST] < 0 else counts[FIRST]


def keep(column: CategoryColumn, first: Int64s, category: UInt64s, out: UInt64s) -> None:
    """Fills a column of what is kept of lists of categories.

    Args:
        column: What is kept.
        first: See `stream.events.lists.list_kernels`.
        category: Hashes, 0 where missing. Shape (elements,), uint64.
        out: Filled. Shape (lists,), uint64.
    """
    if column.keeps == "mask":
        mask(first, category, out)
    elif column.keeps == "counts":
        count_buckets(first, category, column.buckets, column.first_bucket, out)
    else:
        choose(first, category, np.array(column.values, np.uint64), out)
