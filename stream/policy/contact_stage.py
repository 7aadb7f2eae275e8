"""The stages of the funnel that know contacts: quiet hours and the rules of `stream.contacts`.

Rules of this file
1. All that engines said in events up to the one that is decided is heard before, nothing after it.
2. A decision that has expired when it is made contacts nobody: nothing is asked, nothing counted.
3. What was decided about an event before a crash is counted as it was published, at its time.
4. Of a customer who is held out the ghost's contact is counted as well, so that rules bind both arms alike.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from stream.columns import Int64s, UInt64s
from stream.compiled.borrow import borrow
from stream.compiled.zone_set import Zones, borrow_zones
from stream.contacts.budgets.spending import Spending, borrow_spending, can_pay, pay
from stream.contacts.contact_kernel import FREE, IS_OPEN, against, find_room
from stream.contacts.contact_plan import (
    ContactState,
    Heard,
    borrow_heard,
    borrow_state,
    hear,
    settle,
)
from stream.contacts.contact_rules import ContactRules, borrow_contacts
from stream.contacts.engine_events import EngineEvents, borrow_engine
from stream.contacts.hours.first_free import first_free_ms
from stream.contacts.hours.quiet_hours import GO, HELD, QUIET, QuietHours, borrow_quiet, hold
from stream.contacts.published_contacts import (
    DECIDED_MS,
    EXPIRES_MS,
    GHOST,
    GONE,
    OUT_MS,
    STRATEGY,
    UNSAID,
    PublishedRows,
)
from stream.policy.decision import Dropped

_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


class Contacts(NamedTuple):
    """What the stage reads and writes, of n decided events among those that came.

    Attributes:
        rules: Caps, cool-downs, exclusive groups, open decisions.
        zones: The time zones.
        quiet: The quiet hours.
        engine: What events of campaign engines say.
        state: The contact rows. Changed.
        heard: The events that came.
        event: Which of them each decided one is, rising. Shape (n,), int64.
        spread: Hash for the spread of a release, by event that came. uint64.
        now_ms: The time, epoch milliseconds.
        room_s: Room for two answers of `find_room`. Shape (2, 2, limits), int64.
        retry_ms: Receives when each strategy can be tried again, epoch milliseconds, 0 for what no rule
            about contacts stops. Shape (n, S), int64.
        not_before_ms: Receives before when each contact must not go out, epoch milliseconds, 0 for at
            once. Shape (n,), int64.
        published: What was published about the events that came.
        spending: What budgets can pay. Changed.
    """

    rules: ContactRules
    zones: Zones
    quiet: QuietHours
    engine: EngineEvents
    state: ContactState
    heard: Heard
    event: Int64s
    spread: UInt64s
    now_ms: int
    room_s: Int64s
    retry_ms: Int64s
    not_before_ms: Int64s
    published: PublishedRows
    spending: Spending


class Hours(NamedTuple):
    """When the contact of one decision can go out.

    Attributes:
        live: Whether the decision has not expired.
        code: What `hold` says.
        out_ms: When it goes out if it waits for the end of the quiet hours.
    """

    live: bool
    code: int
    out_ms: int


@_inlined
def borrow_all(contacts: Contacts) -> Contacts:
    """The same, for use inside one kernel."""
    return Contacts(
        borrow_contacts(contacts.rules), borrow_zones(contacts.zones),
        borrow_quiet(contacts.quiet), borrow_engine(contacts.engine),
        borrow_state(contacts.state), borrow_heard(contacts.heard), borrow(contacts.event),
        borrow(contacts.spread), contacts.now_ms, borrow(contacts.room_s),
        borrow(contacts.retry_ms), borrow(contacts.not_before_ms), borrow(contacts.published),
        borrow_spending(contacts.spending),
    )  # fmt: skip


@_inlined
def listen(contacts: Contacts, first: int, end: int) -> int:
    """Hears events from `first` to before `end`: what engines said, what was decided before a crash."""
    for e in range(first, end):
        hear(
            contacts.rules, contacts.zones, contacts.engine, contacts.state, contacts.heard, e, e + 1
        )  # fmt: skip
        if len(contacts.published) > 0 and contacts.heard.counts[e]:
            _adopt(contacts, e)
    return max(first, end)


@_inlined
def _adopt(contacts: Contacts, e: int) -> None:
    """Counts the contact that was published about event e as it was published."""
    told, nothing = contacts.published[e], len(contacts.quiet.obeys)
    k, ghost, expires_ms = told[STRATEGY], told[GHOST], told[EXPIRES_MS]
    if k not in (UNSAID, nothing):
        settle(
            contacts.rules, contacts.zones, contacts.state, contacts.heard, e, k, told[OUT_MS],
            expires_ms,
        )  # fmt: skip
    if ghost not in (UNSAID, nothing, k):
        at_ms = told[DECIDED_MS]
        if ghost == GONE or contacts.quiet.obeys[ghost]:
            zone, spread = contacts.heard.zone[e], contacts.spread[e]
            code, out_ms, _ = hold(
                contacts.quiet, contacts.zones, zone, at_ms, expires_ms, spread
            )  # fmt: skip
            at_ms = out_ms if code == HELD else at_ms
        settle(
            contacts.rules, contacts.zones, contacts.state, contacts.heard, e, ghost, at_ms,
            expires_ms,
        )  # fmt: skip


@_inlined
def expiry_ms(contacts: Contacts, i: int) -> int:
    """When decision i expires."""
    return int(contacts.heard.time_ms[contacts.event[i]] + contacts.quiet.expires_after_ms)


@_inlined
def look_at_hours(contacts: Contacts, i: int) -> Hours:
    """When the contact of decision i can go out; finds the room of each cap at that time."""
    e, now_ms, expires_ms = contacts.event[i], contacts.now_ms, expiry_ms(contacts, i)
    if now_ms >= expires_ms:
        return Hours(False, GO, now_ms)
    row, zone = contacts.heard.row[e], contacts.heard.zone[e]
    code, out_ms, _ = hold(
        contacts.quiet, contacts.zones, zone, now_ms, expires_ms, contacts.spread[e]
    )
    rules, zones, cells = contacts.rules, contacts.zones, contacts.state.cells
    find_room(rules, zones, cells, row, now_ms, zone, contacts.room_s[0])
    if code == HELD:
        find_room(rules, zones, cells, row, out_ms, zone, contacts.room_s[1])
    return Hours(True, code, out_ms)


@_inlined
def keep_back(
    contacts: Contacts, hours: Hours, i: int, codes: npt.NDArray[np.int8], says_when: bool
) -> bool:
    """Drops what quiet hours and the rules about contacts stop.

    Args:
        contacts: The contacts.
        hours: What `look_at_hours` said.
        i: The decision.
        codes: Why each strategy is not used so far, CHOSEN for no reason. Changed. Shape (S,), int8.
        says_when: Whether to write down when what is dropped can be tried again.

    Returns:
        Whether something was dropped and nothing is left.
    """
    e = contacts.event[i]
    row, zone = contacts.heard.row[e], contacts.heard.zone[e]
    stopped, left = False, False
    for k in range(len(codes)):
        if codes[k] != Dropped.CHOSEN:
            continue
        waits, again_ms = contacts.quiet.obeys[k], 0
        if waits and hours.code == QUIET:
            codes[k] = Dropped.QUIET_HOURS
        elif waits and hours.code not in (GO, HELD):
            codes[k] = Dropped.HELD_PAST_EXPIRY
        else:
            later = waits and hours.code == HELD
            at_ms = hours.out_ms if later else contacts.now_ms
            code, again_ms = against(
                contacts.rules, contacts.zones, contacts.state.cells, row, k, at_ms, zone,
                contacts.room_s[1 if later else 0],
            )  # fmt: skip
            if code != FREE:
                codes[k] = Dropped.OPEN_DECISION + code - IS_OPEN
        if codes[k] == Dropped.CHOSEN:
            left = True
            continue
        stopped = True
        if says_when and not (waits and contacts.quiet.on):
            contacts.retry_ms[i, k] = again_ms
        elif says_when:
            contacts.retry_ms[i, k] = first_free_ms(
                contacts.rules, contacts.zones, contacts.quiet, contacts.state.cells, row, k, zone,
                contacts.spread[e], contacts.now_ms,
            )  # fmt: skip
    return stopped and not left


@_inlined
def keep_to_budgets(contacts: Contacts, codes: npt.NDArray[np.int8]) -> bool:
    """Drops what budgets cannot pay: codes as for `keep_back`; gives whether nothing is left of something."""
    stopped, left = False, False
    for k in range(len(codes)):
        if codes[k] != Dropped.CHOSEN:
            continue
        if can_pay(contacts.spending, k):
            left = True
        else:
            codes[k] = Dropped.BUDGET
            stopped = True
    return stopped and not left


@_inlined
def count_contacts(contacts: Contacts, hours: Hours, i: int, chosen: int, ghost: int) -> None:
    """Counts the contact of decision i, and that of the ghost, -1 for none, when it is another."""
    nothing = len(contacts.quiet.obeys)
    if chosen < nothing:
        pay(contacts.spending, chosen)
        _count(contacts, hours, i, chosen, True)
    if 0 <= ghost < nothing and ghost != chosen:
        _count(contacts, hours, i, ghost, False)


@_inlined
def _count(contacts: Contacts, hours: Hours, i: int, k: int, real: bool) -> None:
    later = contacts.quiet.obeys[k] and hours.code == HELD
    at_ms = hours.out_ms if later else contacts.now_ms
    settle(
        contacts.rules, contacts.zones, contacts.state, contacts.heard, contacts.event[i], k, at_ms,
        expiry_ms(contacts, i),
    )  # fmt: skip
    if real and later:
        contacts.not_before_ms[i] = at_ms
