"""From the values that a scan found to the columns of events, for all records at once.

Rules of this file
1. A record stays `ok` only if every field is clear and allowed; an optional one may be missing. What is left out, good or bad, goes
   to `stream.events.reasons`, which has the same rules with reasons.
2. null and the empty string count as absent, for every field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream.campaign.file import EventMapping
from stream.columns import Bools, Bytes, CategoryColumn, Float64s, Int16s, Int64s, UInt64s
from stream.compiled.time_zones import ZoneTable, time_zone, zone_table
from stream.events.consent.kernels import hear
from stream.events.consent.places import ConsentPlaces
from stream.events.field_kernels import (
    Int8s,
    count_types,
    largest_kinds,
    pick,
    read_types,
)
from stream.events.flaws import tally
from stream.events.id_kernels import keep_logins, no_ids, read_ids
from stream.events.lists.list_columns import ListColumns
from stream.events.lists.list_elements import Opened
from stream.events.paths import (
    CUSTOMER,
    DATA,
    EVENT_ID,
    FIRST_NUMBER,
    PREVIOUS,
    SPECVERSION,
    TIMESTAMP,
    TYPE,
    EventPaths,
    compile_trie,
)
from stream.events.property_columns import category_column, number_column, zone_column
from stream.events.scan import Kinds, Scan
from stream.events.times.time_kernels import TimePlaces, read_times

CUSTOMER_BYTES_MAX = 512
_BLANK = no_ids(())


@dataclass(frozen=True, slots=True)
class Rows:
    """The columns of an `EventBatch` for all n records of a chunk; undefined where not ok.

    Attributes:
        ok: Shape (n,), bool.
        customer_start: Shape (n,), int64.
        customer_size: Shape (n,), int64.
        event_id_start: Shape (n,), int64.
        event_id_size: -1 where missing. Shape (n,), int64.
        time_ms: Shape (n,), int64.
        type_code: Shape (n,), int16.
        consent: Shape (purposes, n), int8.
        consent_only: Whether the record is no event, and only what it denies counts. Shape (n,), bool.
        number: Shape (numbers, n), float64.
        category: Shape (categories, n), uint64.
        previous_start: Of the id before a login. Shape (n,), int64.
        previous_size: -1 where it tells of no login. Shape (n,), int64.
        forgets: Whether the record forgets the customer. Shape (n,), bool.
        identified: Whether the customer stands at the first of its paths. Shape (n,), bool.
        tally: What came and what could not be read, by `EventPaths.counted`; see
            `stream.events.flaws`. Shape (paths, 3), int64.
        types: Events of each declared type, and last of all others. Shape (types + 1,), int64.
        ahead: Events whose time was too far ahead of their record.
    """

    ok: Bools
    customer_start: Int64s
    customer_size: Int64s
    event_id_start: Int64s
    event_id_size: Int64s
    time_ms: Int64s
    type_code: Int16s
    consent: Int8s
    consent_only: Bools
    number: Float64s
    category: UInt64s
    previous_start: Int64s
    previous_size: Int64s
    forgets: Bools
    identified: Bools
    tally: Int64s
    types: Int64s
    ahead: int


@dataclass(frozen=True, slots=True)
class Clock:
    """What the time of an event may be.

    Attributes:
        record_ms: Time of the record, which is that of an event that says none; negative where it
            has none. Epoch milliseconds, shape (n,), int64.
        limit_ms: Latest time. Shape (n,), int64.
        earliest_ms: Earliest time.
        ahead_max_ms: How far a time may be ahead of the latest uncounted, milliseconds.
    """

    record_ms: Int64s
    limit_ms: Int64s
    earliest_ms: int
    ahead_max_ms: int


class FieldReader:
    """Reads the fields that an `EventPaths` names, and what is said of consent.

    Args:
        mapping: How they are read.
        paths: Where they stand.
        types: Declared event types.
        columns: What is kept of lists of categories and of time zones.

    Attributes:
        trie: What to scan for.

    Raises:
        ValueError: `mapping.time_zone` is no time zone.
    """

    def __init__(
        self,
        mapping: EventMapping,
        paths: EventPaths,
        consent: ConsentPlaces,
        types: Sequence[str],
        columns: Sequence[CategoryColumn] = (),
    ) -> None:
        fields = (*paths.bare, *paths.enveloped)
        envelope = (SPECVERSION, DATA) if paths.unwraps else ()
        wanted = {path for field in (*fields, *paths.sent_at) for path in field}
        self.trie, node_of = compile_trie(
            wanted.union(envelope, consent.paths), consent.containers.union(paths.lists)
        )
        self._purposes = consent.count
        self._consent = consent.tables(node_of)
        self._numbers = paths.numbers
        self._singles = paths.singles
        self._columns = len(columns)
        self._zones = [
            (paths.singles + row, FIRST_NUMBER + paths.properties.index(column.path, end))
            for end in (paths.numbers + paths.singles,)
            for row, column in enumerate(columns)
            if column.keeps == "zone"
        ]
        self._lists = ListColumns(paths, columns, strict=mapping.strict)
        self._strict = mapping.strict
        self._counted = len(paths.counted)
        self._times = _time_places(paths, node_of, zone_table(time_zone(mapping.time_zone)))
        self._candidates = np.array([node_of[path] for field in fields for path in field], np.int64)
        ends = np.cumsum([0, *map(len, fields)], dtype=np.int64)
        self._first = np.stack([ends[: len(paths.bare) + 1], ends[len(paths.bare) :]])
        self._logins = np.array([name in mapping.login_events for name in types] + [False])
        self._logins &= bool(paths.bare[PREVIOUS])
        self._absent = {CUSTOMER: no_ids(mapping.no_ids), EVENT_ID: _BLANK}
        if self._logins.any():
            self._absent[PREVIOUS] = self._absent[CUSTOMER]
        self._ids = [self._first[:, k : k + 2].copy() for k in self._absent]
        self._is_own = np.zeros(len(self._candidates), np.bool_)
        for form, of_form in enumerate((paths.bare, paths.enveloped)):
            own = paths.own_customer(form)
            for k, path in enumerate(of_form[CUSTOMER], int(self._first[form, CUSTOMER])):
                self._is_own[k] = path in own
        self._envelope = np.array([node_of[path] for path in envelope] or [-1, -1], np.int64)
        encoded = [name.encode() for name in types]
        self._type_bytes = np.frombuffer(b"".join(encoded), np.uint8)
        self._type_end = np.cumsum([len(name) for name in encoded], dtype=np.int64)

    def read(self, found: Scan, clock: Clock) -> Rows:
        """The columns of every record whose scan is ok.

        Args:
            found: A scan for `trie`.
            clock: What times may be.
        """
        n, fields = len(found.ok), self._first.shape[1] - 1
        data, ok = found.data, found.ok.copy()
        form = np.empty(n, np.uint8)
        chosen = np.zeros((len(self._ids), n), np.int64)
        kind = np.empty((fields, n), np.uint8)
        start = np.empty((fields, n), np.int64)
        size = np.empty((fields, n), np.int64)
        seen = largest_kinds(found.kind)
        pick(
            found.kind, found.span, seen, ok, self._candidates, self._first, self._envelope,
            form, chosen, kind, start, size,
        )  # fmt: skip

        def value(field: int) -> tuple[Bytes, Kinds, Int64s, Int64s]:
            return data, kind[field], start[field], size[field]

        for k, (field, absent) in enumerate(self._absent.items()):
            read_ids(
                data, found.kind, found.span, form, self._candidates, self._ids[k], absent, ok,
                chosen[k], *value(field)[1:],
            )  # fmt: skip
        ok &= (size[CUSTOMER] > 0) & (size[CUSTOMER] <= CUSTOMER_BYTES_MAX)
        identified = self._is_own[chosen[CUSTOMER]]
        type_code = np.empty(n, np.int16)
        read_types(*value(TYPE), self._type_bytes, self._type_end, ok, type_code)
        consent = self._said(found, seen, ok)
        lists = self._lists.open(
            data, kind[FIRST_NUMBER:], start[FIRST_NUMBER:], size[FIRST_NUMBER:], ok
        )
        # From here on records are counted: what is left to the judge counts there.
        counts = tally(self._counted)
        time_ms = np.empty(n, np.int64)
        ahead = read_times(
            data, found.kind, found.span, form, *value(TIMESTAMP)[1:], self._times,
            clock.record_ms, clock.limit_ms, clock.earliest_ms, clock.ahead_max_ms, self._strict,
            ok, time_ms, counts,
        )  # fmt: skip
        number, category = self._properties(data, kind, start, size, lists, ok, counts)
        types = np.empty(len(self._type_end) + 1, np.int64)
        count_types(type_code, ok, types)
        keep_logins(
            data, type_code, self._logins, identified, ok, start[CUSTOMER], size[CUSTOMER],
            start[PREVIOUS], size[PREVIOUS], CUSTOMER_BYTES_MAX,
        )  # fmt: skip
        return Rows(
            ok, start[CUSTOMER], size[CUSTOMER], start[EVENT_ID], size[EVENT_ID],
            time_ms, type_code, consent, np.zeros(n, np.bool_), number, category,
            start[PREVIOUS], size[PREVIOUS], np.zeros(n, np.bool_), identified, counts, types, ahead,
        )  # fmt: skip

    def _properties(
        self, data: Bytes, kind: Kinds, start: Int64s, size: Int64s, lists: dict[int, Opened],
        ok: Bools, counts: Int64s,
    ) -> tuple[Float64s, UInt64s]:  # fmt: skip
        """The numbers and categories; `ok` becomes false where a strict mapping refuses one."""
        n = len(ok)
        number = np.empty((self._numbers, n), np.float64)
        category = np.empty((self._singles + self._columns, n), np.uint64)
        for k in range(self._numbers + self._singles):
            if k in self._lists.properties:
                continue
            field = FIRST_NUMBER + k
            value = data, kind[field], start[field], size[field]
            if k < self._numbers:
                number_column(*value, self._strict, ok, number[k], counts[k])
            else:
                column = category[k - self._numbers]
                category_column(*value, self._strict, ok, column, counts[k])
        self._lists.read(lists, ok, number, category, counts)
        for row, field in self._zones:
            value = data, kind[field], start[field], size[field]
            zone_column(*value, self._strict, ok, category[row], counts[field - FIRST_NUMBER])
        return number, category

    def _said(self, found: Scan, seen: Kinds, ok: Bools) -> Int8s:
        """What is said of each purpose; `ok` becomes false where it is not clear."""
        consent = np.empty((self._purposes, len(ok)), np.int8)
        if not found.is_json:
            self._consent.leave_unclear(found.kind, seen, ok)
        hear(found.data, found.kind, found.span, seen, self._envelope, self._consent, ok, consent)
        return consent


def _time_places(paths: EventPaths, node_of: dict[str, int], zone: ZoneTable) -> TimePlaces:
    """Where the times stand, for `read_times`."""
    forms = (paths.bare[TIMESTAMP], paths.enveloped[TIMESTAMP])

    def nodes(of: Sequence[tuple[str, ...]]) -> tuple[Int64s, Int64s]:
        found = np.array([node_of[path] for form in of for path in form], np.int64)
        return found, np.cumsum([0, *map(len, of)], dtype=np.int64)

    time_nodes, first = nodes(forms)
    counted = np.array([*paths.times(0), *paths.times(1)], np.int64)
    return TimePlaces(
        time_nodes, counted, first, *nodes(paths.sent_at), zone.local_ms, zone.offset_ms
    )
