"""What campaign engines say of contacts: sent, failed, opened, converted, complained.

Rules of this file
1. An event is about the last contact of its strategy, of which it has to be at most `correct_within`
   later. What might be about another contact gives nothing back.
2. A contact is given back once, and not before it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numba
import numpy as np

from stream.campaign.file import Campaign
from stream.campaign.sections.contact_sections import ContactsSpec
from stream.columns import Int64s, UInt64s
from stream.compiled.borrow import borrow
from stream.compiled.category_hash import category_hash
from stream.compiled.zone_set import Zones
from stream.contacts.contact_kernel import (
    count,
    seconds_after,
    uncount,
)
from stream.contacts.contact_rules import (
    COMPLAINED_S,
    CONVERTED_S,
    LAST,
    OPEN,
    PAUSE,
    ContactRules,
)
from stream.contacts.contact_table import Cells
from stream.contacts.counters import cell_at, has_bit, set_bit

SENT, FAILED, OPENED, CONVERTED, COMPLAINED = (1 << bit for bit in range(5))
"""What an event type says; it may say several things."""

_inline = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


class EngineEvents(NamedTuple):
    """The events of campaign engines, as the kernel reads them.

    Attributes:
        says: What each event type says, of those above; the last is for types not declared.
            Shape (types + 1,), int64.
        path: Row of `EventBatch.category` with the strategy.
        time_path: Row of `EventBatch.number` with the time of the contact, -1 for none.
        hashes: Of the ids of the S strategies. Shape (S,), uint64.
    """

    says: Int64s
    path: int
    time_path: int
    hashes: UInt64s


def engine_types(spec: ContactsSpec) -> tuple[str, ...]:
    """The event types that say something of contacts."""
    return tuple(name for names in _lists(spec) for name in names)


def engine_paths(spec: ContactsSpec) -> tuple[str, ...]:
    """The paths of the categories that events are read for: the strategy, and the customer's zone."""
    zone = (spec.zone_property,) if spec.zone_property else ()
    return (*zone, spec.strategy_property) if engine_types(spec) else zone


def engine_numbers(spec: ContactsSpec) -> tuple[str, ...]:
    """The paths of the numbers."""
    return (spec.time_property,) if spec.time_property and spec.failed else ()


def compile_engine_events(
    campaign: Campaign, event_types: Sequence[str], category_paths: Sequence[str],
    number_paths: Sequence[str],
) -> EngineEvents:  # fmt: skip
    """The tables of the kernel.

    Args:
        campaign: The campaign file.
        event_types: Event types by type code.
        category_paths: Paths of the categories that the decoder delivers.
        number_paths: Paths of the numbers.
    """
    spec = campaign.contacts
    says = [
        sum(1 << bit for bit, names in enumerate(_lists(spec)) if name in names)
        for name in event_types
    ]
    return EngineEvents(
        np.array([*says, 0], np.int64),
        category_paths.index(spec.strategy_property) if engine_types(spec) else -1,
        number_paths.index(spec.time_property) if spec.time_property and spec.failed else -1,
        np.array([category_hash(s.id.encode()) for s in campaign.strategies], np.uint64),
    )


def _lists(spec: ContactsSpec) -> Iterator[tuple[str, ...]]:
    yield from (spec.sent, spec.failed, spec.opened, spec.converted, spec.complained)


@_inline
def borrow_engine(engine: EngineEvents) -> EngineEvents:
    """The same, for use inside one kernel."""
    return EngineEvents(borrow(engine.says), engine.path, engine.time_path, borrow(engine.hashes))


@_inline
def strategy_of(engine: EngineEvents, category: np.uint64) -> int:
    """The strategy that a hash names, -1 when it is there and names none, S when it is missing."""
    if category == 0:
        return len(engine.hashes)
    for k in range(len(engine.hashes)):
        if engine.hashes[k] == category:
            return k
    return -1


@_inline
def correct(
    rules: ContactRules, zones: Zones, cells: Cells, row: int, says: int, k: int, time_ms: int,
    contact_ms: int, zone: int,
) -> None:  # fmt: skip
    """Corrects a contact row by an event of a campaign engine.

    Args:
        rules: The rules.
        zones: The time zones.
        cells: The contact rows. Changed. Shape (rows, cells), uint32.
        row: The customer's.
        says: What the event says.
        k: The strategy, S for all: conversions and complaints alone may be about all.
        time_ms: Time of the event, epoch milliseconds.
        contact_ms: Time of the contact that failed, 0 when nothing says.
        zone: The customer's time zone.
    """
    if rules.strategy[0, LAST] < 0:  # no rule looks at contacts
        return
    at_s = seconds_after(time_ms)
    if k < len(rules.strategy):
        if says & SENT:
            _sent(rules, zones, cells, row, k, at_s, zone)
        if says & FAILED:
            _failed(rules, zones, cells, row, k, at_s, contact_ms, zone)
        if says & OPENED and cell_at(cells, row, rules.strategy[k, LAST]) == 0:
            count(rules, zones, cells, row, k, 1000 * at_s, 0, zone)
    if says & (CONVERTED | COMPLAINED):
        first, end = (k, k + 1) if k < len(rules.strategy) else (0, k)
        for of in range(first, end):
            _answered(rules, cells, row, says, of, at_s)


@_inline
def _sent(
    rules: ContactRules, zones: Zones, cells: Cells, row: int, k: int, at_s: int, zone: int
) -> None:
    """The contact counts from when it was sent on; one that nobody decided is counted."""
    last_s = cell_at(cells, row, rules.strategy[k, LAST])
    before_s = cell_at(cells, row, rules.strategy[k, LAST] - rules.spare)
    if has_bit(cells, row, rules.returned_cell, k):
        is_known = False
    elif last_s > 0 and abs(at_s - last_s) <= rules.correct_s:
        is_known = at_s <= last_s or not has_bit(cells, row, rules.sent_cell, k)
    else:
        is_known = before_s > 0 and before_s <= at_s <= min(last_s, before_s + rules.correct_s)
    if not is_known:
        count(rules, zones, cells, row, k, 1000 * at_s, 0, zone)
        set_bit(cells, row, rules.sent_cell, k)
    elif at_s >= last_s:
        if at_s > last_s:
            until_s = 0
            if rules.strategy[k, OPEN] >= 0:
                until_s = cell_at(cells, row, rules.strategy[k, OPEN])
            uncount(rules, zones, cells, row, k, last_s, zone)
            count(rules, zones, cells, row, k, 1000 * at_s, 1000 * until_s, zone)
        set_bit(cells, row, rules.sent_cell, k)


@_inline
def _failed(
    rules: ContactRules, zones: Zones, cells: Cells, row: int, k: int, at_s: int, contact_ms: int,
    zone: int,
) -> None:  # fmt: skip
    """Gives the last contact back, if it is the one that failed."""
    last_s = cell_at(cells, row, rules.strategy[k, LAST])
    if last_s == 0 or has_bit(cells, row, rules.returned_cell, k):
        return
    if contact_ms > 0:
        is_it = seconds_after(contact_ms) == last_s
    else:
        is_it = last_s <= at_s <= last_s + rules.correct_s
    if is_it:
        uncount(rules, zones, cells, row, k, last_s, zone)
        set_bit(cells, row, rules.returned_cell, k)


@_inline
def _answered(rules: ContactRules, cells: Cells, row: int, says: int, k: int, at_s: int) -> None:
    """A conversion closes the open decision; both keep the strategy away for a while."""
    is_open = rules.strategy[k, OPEN] >= 0
    if says & CONVERTED and is_open and at_s >= cell_at(cells, row, rules.strategy[k, LAST]):
        cells[row, rules.strategy[k, OPEN]] = 0
    span_s = 0
    if says & CONVERTED:
        span_s = int(rules.strategy[k, CONVERTED_S])
    if says & COMPLAINED:
        span_s = max(span_s, int(rules.strategy[k, COMPLAINED_S]))
    if span_s > 0:
        cell = rules.strategy[k, PAUSE]
        cells[row, cell] = max(cell_at(cells, row, cell), at_s + span_s)
