"""The numba loop from the times that events say to the column of event times.

Rules of this file
1. A time that cannot be read, or is before the earliest allowed, gives way to the next path, at
   last to the time of the record.
2. No event time is after that of its record. Where it was, the clock of the sender is ahead: what
   the sender says of when it sent, `sent_at`, tells by how much.
3. What is unclear to the kernel is for `stream.events.reasons`; nothing is counted of it here.
"""

from __future__ import annotations

from typing import NamedTuple

import numba

from stream.columns import Bools, Bytes, Int64s
from stream.compiled.borrow import borrow
from stream.events.flaws import FIRST, UNREADABLE
from stream.events.scan import FLOAT64, MISSING, NULL, NUMBER, STRING, TIME, Kinds
from stream.events.times.timestamps import (
    UNCLEAR,
    clear_epoch_ms,
    clear_integer,
    clear_text_ms,
)

UNREADABLE_MS = UNCLEAR + 1

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


class TimePlaces(NamedTuple):
    """Where times stand, of bare events and of CloudEvents.

    Attributes:
        nodes: Nodes of the candidates of both forms, best first. Shape (candidates,), int64.
        counted: Row of the tally of each. Shape (candidates,), int64.
        first: Where the candidates of a form begin, and where the last ends. Shape (3,), int64.
        sent_nodes: The same as `nodes` of when it was sent. Shape (sent candidates,), int64.
        sent_first: The same as `first`. Shape (3,), int64.
        local_ms: Of the `ZoneTable` of times that say no zone. Shape (changes,), int64.
        offset_ms: Of the same. Shape (changes + 1,), int64.
    """

    nodes: Int64s
    counted: Int64s
    first: Int64s
    sent_nodes: Int64s
    sent_first: Int64s
    local_ms: Int64s
    offset_ms: Int64s


@_jit
def read_times(
    data: Bytes, found_kind: Kinds, found_span: Int64s, form: Kinds, kind: Kinds, start: Int64s,
    size: Int64s, places: TimePlaces, record_ms: Int64s, limit_ms: Int64s, earliest_ms: int,
    ahead_max_ms: int, strict: bool, ok: Bools, out: Int64s, tally: Int64s,
) -> int:  # fmt: skip
    """Epoch milliseconds.

    Args:
        data: The buffer of the spans.
        found_kind: From the scan. Shape (n, nodes), uint8.
        found_span: From the scan. Shape (n, nodes, 2), int64.
        form: 1 for CloudEvents. Shape (n,), uint8.
        kind: Of the first candidate that is present, like `start` and `size`. Shape (n,).
        start: Its first byte.
        size: Its length in bytes.
        places: All candidates.
        record_ms: Time of the record, negative where it has none. Shape (n,), int64.
        limit_ms: Latest event time. Shape (n,), int64.
        earliest_ms: Earliest event time.
        ahead_max_ms: How far a time may be ahead of the limit uncounted.
        strict: Whether everything out of the ordinary is left to the judge.
        ok: Stays true where the time is clear. Shape (n,), bool.
        out: Filled. Shape (n,), int64.
        tally: Counted up, see `stream.events.flaws`. Shape (paths, 3), int64.

    Returns:
        How many times were ahead by more than `ahead_max_ms`.
    """
    data = borrow(data)
    local_ms, offset_ms = borrow(places.local_ms), borrow(places.offset_ms)
    ahead = 0
    for i in range(len(ok)):
        if not ok[i]:
            continue
        if kind[i] == MISSING:
            out[i] = record_ms[i]
            ok[i] = record_ms[i] >= 0
            continue
        stop = start[i] + size[i]
        time_ms = _moment(data, kind[i], start[i], stop, local_ms, offset_ms)
        if time_ms < earliest_ms or time_ms > limit_ms[i]:
            if strict:
                ok[i] = False
                continue
            time_ms, is_ahead = _settled(
                data, found_kind, found_span, i, int(form[i]), places, record_ms[i], limit_ms[i],
                earliest_ms, ahead_max_ms, tally,
            )  # fmt: skip
            ahead += is_ahead
            ok[i] = time_ms != UNCLEAR
        out[i] = time_ms
    return ahead


@_inlined
def _moment(
    data: Bytes, kind: int, start: int, stop: int, local_ms: Int64s, offset_ms: Int64s
) -> int:
    """Epoch milliseconds of one value, UNREADABLE_MS for what is no time, else UNCLEAR."""
    if kind == TIME:
        return clear_integer(data, start, stop)
    if kind == FLOAT64:
        return UNCLEAR
    if kind != NUMBER and kind != STRING:
        return UNREADABLE_MS
    time_ms = clear_epoch_ms(data, start, stop)
    if time_ms == UNCLEAR and kind == STRING:
        time_ms = clear_text_ms(data, start, stop, local_ms, offset_ms)
    return time_ms


@_jit
def _settled(
    data: Bytes, kind: Kinds, span: Int64s, i: int, form: int, places: TimePlaces, record_ms: int,
    limit_ms: int, earliest_ms: int, ahead_max_ms: int, tally: Int64s,
) -> tuple[int, bool]:  # fmt: skip
    """The time of record i by all its candidates, or UNCLEAR; and whether it was ahead."""
    first, last = places.first[form], places.first[form + 1]
    time_ms, chosen = _first_time(
        data, kind, span, i, places.nodes, first, last, places.local_ms, places.offset_ms,
        earliest_ms,
    )  # fmt: skip
    if time_ms == UNREADABLE_MS:
        time_ms = record_ms if record_ms >= 0 else UNCLEAR
    is_ahead = time_ms - limit_ms > ahead_max_ms and time_ms != UNCLEAR
    if time_ms > limit_ms:
        sent_ms, _ = _first_time(
            data, kind, span, i, places.sent_nodes, places.sent_first[form],
            places.sent_first[form + 1], places.local_ms, places.offset_ms, earliest_ms,
        )  # fmt: skip
        if sent_ms == UNCLEAR:
            return UNCLEAR, False
        time_ms = corrected(time_ms, sent_ms, limit_ms, earliest_ms)
    if time_ms == UNCLEAR:
        return UNCLEAR, False
    for c in range(first, chosen):
        if kind[i, places.nodes[c]] > NULL and not _is_blank(kind, span, i, places.nodes[c]):
            path = places.counted[c]
            tally[path, UNREADABLE] += 1
            if tally[path, FIRST] < 0:
                tally[path, FIRST] = i
    return time_ms, is_ahead


@_jit
def _first_time(
    data: Bytes, kind: Kinds, span: Int64s, i: int, nodes: Int64s, first: int, last: int,
    local_ms: Int64s, offset_ms: Int64s, earliest_ms: int,
) -> tuple[int, int]:  # fmt: skip
    """(first time not before the earliest, its candidate); UNCLEAR, or UNREADABLE_MS for none."""
    for c in range(first, last):
        node = nodes[c]
        if kind[i, node] <= NULL or _is_blank(kind, span, i, node):
            continue
        at, size = span[i, node, 0], span[i, node, 1]
        time_ms = _moment(data, kind[i, node], at, at + size, local_ms, offset_ms)
        if time_ms == UNCLEAR or time_ms >= earliest_ms:
            return time_ms, c
    return UNREADABLE_MS, last


@_inlined
def _is_blank(kind: Kinds, span: Int64s, i: int, node: int) -> bool:
    return bool(kind[i, node] == STRING and span[i, node, 1] == 0)


def corrected_ms(time_ms: int, sent_ms: int, limit_ms: int, earliest_ms: int) -> int:
    """The time of an event whose sender's clock is ahead.

    By as much as it was sent after it came in: the rule of Segment, receivedAt - (sentAt -
    originalTimestamp). What is still impossible then is as old as its record.
    """
    if sent_ms > limit_ms:
        time_ms -= sent_ms - limit_ms
    return time_ms if earliest_ms <= time_ms <= limit_ms else limit_ms


corrected = numba.njit(nogil=True, cache=True, error_model="numpy")(corrected_ms)
