"""Everything that a campaign says about contacts, compiled, and the columns that go through it.

The loop over decided events calls, for event i of a chunk, in this order:

    follow_homes  for all events at once, before: the customers' time zones
    hear        what engines said in the events up to i, once each
    hold        when a contact could go out (`quiet_hours`)
    find_room   when each cap has room
    against     for every strategy that is still allowed (`contact_kernel`)
    settle      the chosen strategy's contact: counted, and the row marked

and `hear` once more for what is left, and `keep_homes`. An event is never heard or counted twice: a row says from which
offset on events are new, so one that is read again after a crash finds its contact counted and is
known to be decided (`is_new`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np

from stream.campaign.file import Campaign
from stream.columns import Bools, Float64s, Int16s, Int64s, UInt64s
from stream.compiled.borrow import borrow
from stream.compiled.zone_set import Zones
from stream.contacts.carried_contacts import add_contacts, empty, knows_any, take_home
from stream.contacts.contact_kernel import count, count_everywhere
from stream.contacts.contact_layout import ContactLayout, lay_out_contacts
from stream.contacts.contact_rules import ContactRules, compile_contacts
from stream.contacts.contact_table import Cells, ContactTable
from stream.contacts.engine_events import (
    EngineEvents,
    compile_engine_events,
    correct,
    strategy_of,
)
from stream.contacts.hours.quiet_hours import QuietHours, compile_quiet_hours
from stream.contacts.published_contacts import GONE

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inline = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@dataclass(frozen=True, eq=False, slots=True)
class ContactPlan:
    """The rules of a campaign about contacts.

    Attributes:
        layout: Of contact rows; without cells when no rule looks at contacts.
        rules: Caps, cool-downs, exclusive groups, open decisions.
        quiet: The quiet hours.
        engine: What events of campaign engines say.
    """

    layout: ContactLayout
    rules: ContactRules
    quiet: QuietHours
    engine: EngineEvents


def compile_contact_plan(
    campaign: Campaign, event_types: Sequence[str], category_paths: Sequence[str],
    number_paths: Sequence[str],
) -> ContactPlan:  # fmt: skip
    """Compiles the rules; the event types and paths are those that the decoder delivers."""
    layout = lay_out_contacts(campaign)
    return ContactPlan(
        layout,
        compile_contacts(campaign, layout),
        compile_quiet_hours(campaign),
        compile_engine_events(campaign, event_types, category_paths, number_paths),
    )


class ContactState(NamedTuple):
    """The columns of a contact table, for kernels: see `ContactTable`."""

    cells: Cells
    next_offset: Int64s
    dirty: Bools


def state_of(table: ContactTable, rows: int) -> ContactState:
    """The columns of a table with room for so many rows; valid until it has to grow."""
    table.fit(rows)
    return ContactState(table.cells, table.next_offset, table.dirty)


class Heard(NamedTuple):
    """n events of one topic as contacts see them.

    Attributes:
        topic: Index of their topic in the layout.
        row: Row of each customer. Shape (n,), int64.
        word: Offset as rows count it. Shape (n,), int64.
        time_ms: Event time. Shape (n,), int64.
        type_code: Event type. Shape (n,), int16.
        strategy: Hash of the strategy that it names, 0 for none. Shape (n,), uint64.
        contact_ms: Time of the contact that it names, NaN for none. Shape (n,), float64.
        zone: Time zone of the customer. Shape (n,), int64.
        counts: Whether it is no replay, no repetition, not silent, and was new (`is_new`) when its chunk
            came: with a batch of events in one record, all of them are. Shape (n,), bool.
        source: Row of the id that each login carries over to its customer, -1 for none. Shape (n,) or,
            where there are no logins, (0,), int64.
    """

    topic: int
    row: Int64s
    word: Int64s
    time_ms: Int64s
    type_code: Int16s
    strategy: UInt64s
    contact_ms: Float64s
    zone: Int64s
    counts: Bools
    source: Int64s


@_jit
def follow_homes(
    home: int, state: ContactState, heard: Heard, named: UInt64s, out: UInt64s, moved: Bools
) -> None:
    """The time zone in which each customer is after each event, as the hash of its name.

    For a chunk before its decisions; `keep_homes` comes after them.

    Args:
        home: First of the two cells that hold it, -1 for none.
        state: The contact rows. Changed.
        heard: n events.
        named: Hash that each event names, 0 for none. Shape (n,), uint64.
        out: Receives the hashes, 0 where no event has named one. Shape (n,), uint64.
        moved: Receives whether it is another than before. Shape (n,), bool.
    """
    state, heard = borrow_state(state), borrow_heard(heard)
    for i in range(len(out)):
        row, out[i], moved[i] = heard.row[i], named[i], False
        if home < 0:
            continue
        if len(heard.source) and heard.counts[i]:
            moved[i] = take_home(state.cells, home, heard.source[i], row)
        known = np.uint64(state.cells[row, home]) << np.uint64(32)
        known |= np.uint64(state.cells[row, home + 1])
        if named[i] == 0:
            out[i] = known
        elif named[i] != known and heard.counts[i] and is_new(state, heard, i):
            state.cells[row, home] = np.uint32(named[i] >> np.uint64(32))
            state.cells[row, home + 1] = np.uint32(named[i] & np.uint64(0xFFFF_FFFF))
            moved[i] = True


@_jit
def keep_homes(state: ContactState, heard: Heard, moved: Bools) -> None:
    """Has rows written whose customers have moved: what `follow_homes` said, shape (n,), bool."""
    for i in range(len(moved)):
        if moved[i] and is_new(state, heard, i):
            _mark(state, heard, i)


@_inline
def borrow_state(state: ContactState) -> ContactState:
    """The same, for use inside one kernel."""
    return ContactState(borrow(state.cells), borrow(state.next_offset), borrow(state.dirty))


@_inline
def borrow_heard(heard: Heard) -> Heard:
    """The same, for use inside one kernel."""
    return Heard(
        heard.topic, borrow(heard.row), borrow(heard.word), borrow(heard.time_ms),
        borrow(heard.type_code), borrow(heard.strategy), borrow(heard.contact_ms),
        borrow(heard.zone), borrow(heard.counts), borrow(heard.source),
    )  # fmt: skip


@_inline
def is_new(state: ContactState, heard: Heard, i: int) -> bool:
    """Whether nothing of event i is in its contact row yet."""
    return bool(state.next_offset[heard.row[i], heard.topic] <= heard.word[i])


@_inline
def hear(
    rules: ContactRules, zones: Zones, engine: EngineEvents, state: ContactState, heard: Heard,
    first: int, end: int,
) -> None:  # fmt: skip
    """Corrects contact rows by what engines said in events from `first` to before `end`, and by logins."""
    for i in range(first, end):
        if len(heard.source) and heard.source[i] >= 0:
            _carry(rules, state, heard, i)
        says = engine.says[heard.type_code[i]]
        if says == 0 or not heard.counts[i]:
            continue
        k = strategy_of(engine, heard.strategy[i])
        if k < 0:  # of another system, or no longer in the campaign
            continue
        contact_ms = 0
        if heard.contact_ms[i] > 0:  # and not missing
            contact_ms = int(np.int64(heard.contact_ms[i]))
        row = heard.row[i]
        correct(
            rules, zones, state.cells, row, says, k, heard.time_ms[i], contact_ms, heard.zone[i]
        )
        _mark(state, heard, i)


@_inline
def _carry(rules: ContactRules, state: ContactState, heard: Heard, i: int) -> None:
    """Carries the contacts of an id over to the customer who has logged in with event i.

    Each of the two rows may have been written without the other: a row that has the login behind it stays
    as it is, and the other one is brought up to it.
    """
    source, word = heard.source[i], heard.word[i]
    if state.next_offset[source, heard.topic] > word or not knows_any(rules, state.cells, source):
        return
    if heard.counts[i]:
        add_contacts(rules, state.cells, source, heard.row[i])
        _mark(state, heard, i)
    empty(rules, state.cells, source)
    state.next_offset[source, heard.topic] = word + 1
    state.dirty[source] = True


@_inline
def settle(
    rules: ContactRules, zones: Zones, state: ContactState, heard: Heard, i: int, k: int,
    at_ms: int, expires_ms: int,
) -> None:  # fmt: skip
    """Counts the contact that was decided about event i; nothing for one that has expired already.

    Args:
        rules: The rules.
        zones: The time zones.
        state: The contact rows. Changed.
        heard: The events.
        i: Which.
        k: The strategy, also of a customer who is held out and would have got it; GONE for one that
            the campaign does not have any more, which counts wherever it may have.
        at_ms: When the contact goes out, epoch milliseconds.
        expires_ms: When the decision expires.
    """
    if at_ms < expires_ms:
        if k == GONE:
            count_everywhere(rules, zones, state.cells, heard.row[i], at_ms, heard.zone[i])
        else:
            count(rules, zones, state.cells, heard.row[i], k, at_ms, expires_ms, heard.zone[i])
        _mark(state, heard, i)


@_inline
def _mark(state: ContactState, heard: Heard, i: int) -> None:
    """The row knows this event, and has to be written."""
    state.next_offset[heard.row[i], heard.topic] = heard.word[i] + 1
    state.dirty[heard.row[i]] = True
