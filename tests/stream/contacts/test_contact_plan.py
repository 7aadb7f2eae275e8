"""Chunks through the contact rules: cut anywhere, read again, with engine events between decisions."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import numba
import numpy as np
import pytest

from stream.campaign.file import Campaign
from stream.compiled.category_hash import category_hash
from stream.compiled.zone_set import Zones, borrow_zones
from stream.contacts.contact_kernel import FREE, against, find_room
from stream.contacts.contact_plan import (
    ContactState,
    Heard,
    borrow_heard,
    borrow_state,
    compile_contact_plan,
    follow_homes,
    hear,
    keep_homes,
    settle,
    state_of,
)
from stream.contacts.contact_records import encode_contact_rows
from stream.contacts.contact_rules import ContactRules, borrow_contacts
from stream.contacts.contact_table import ContactTable
from stream.contacts.engine_events import EngineEvents, borrow_engine
from stream.contacts.hours.quiet_hours import QuietHours, borrow_quiet, hold
from tests.stream.contacts.contacts_harness import PACKED, campaign

TYPES = ["ask", "sent", "failed", "order", "complaint"]
HOUR_MS = 3_600_000
FIRST_MS = 1_780_000_000_000


@numba.njit(nogil=True)
def decide(
    rules: ContactRules, zones: Zones, quiet: QuietHours, engine: EngineEvents, state: ContactState,
    heard: Heard, wanted: Any, chosen: Any, at_ms: Any,
) -> None:  # fmt: skip
    """What a loop over decisions does: takes the first strategy that is wanted and allowed."""
    rules, zones, quiet = borrow_contacts(rules), borrow_zones(zones), borrow_quiet(quiet)
    engine, state, heard = borrow_engine(engine), borrow_state(state), borrow_heard(heard)
    done, room_s = 0, np.zeros((2, len(rules.limit)), np.int64)
    for i in range(len(chosen)):
        hear(rules, zones, engine, state, heard, done, i + 1)
        done = i + 1
        chosen[i] = -2
        if heard.type_code[i] != 0 or not heard.counts[i]:
            continue
        chosen[i] = -1
        now_ms = heard.time_ms[i]
        expires_ms = now_ms + quiet.expires_after_ms
        code, out_ms, _ = hold(
            quiet, zones, heard.zone[i], now_ms, expires_ms, np.uint64(heard.row[i])
        )
        for k in range(len(rules.strategy)):
            if not wanted[i, k] or (code > 1 and quiet.obeys[k]):
                continue
            at = out_ms if quiet.obeys[k] else now_ms
            row, zone = heard.row[i], heard.zone[i]
            find_room(rules, zones, state.cells, row, at, zone, room_s)
            if against(rules, zones, state.cells, row, k, at, zone, room_s)[0] == FREE:
                chosen[i], at_ms[i] = k, at
                settle(rules, zones, state, heard, i, k, at, expires_ms)
                break


def shop() -> Campaign:
    return campaign(
        strategies=[
            {"id": "a", "group": "g", "cool_down": "1d"},
            {"id": "b", "group": "g", "cool_down_converted": "2d", "cool_down_complained": "9d"},
            {"id": "c", "obeys_caps": False, "counts": False, "obeys_quiet_hours": False},
        ],
        caps=[{"id": "week", "contacts": 2, "within": "7d"},
              {"id": "day", "contacts": 1, "per": "day", "scope": "group"}],
        exclusive=[{"id": "x", "members": ["a", "b"], "within": "12h"}],
        quiet_hours={"from": "21:00", "until": "08:00", "release_spread": "2h"},
        decisions={"expires_after": "15h"},
        contacts={"time_zone": "Europe/Berlin", "one_open": True, "sent": ["sent"],
                  "failed": ["failed"], "converted": ["order"], "complained": ["complaint"]},
    )  # fmt: skip


@dataclass
class Log:
    """A random log of a few customers."""

    heard: Heard
    wanted: Any

    @classmethod
    def of(cls, seed: int, n: int = 400) -> Log:
        some = Random(seed)
        ids = [0, category_hash(b"a"), category_hash(b"b"), category_hash(b"c"), 99]
        times = FIRST_MS + np.cumsum([some.choice((0, 900, HOUR_MS)) for _ in range(n)])
        late = np.array([some.choice((0, 0, 0, 5 * HOUR_MS)) for _ in range(n)])
        heard = Heard(
            0,
            np.array([some.randrange(4) for _ in range(n)]),
            np.arange(n) + 1000,
            times - late,
            np.array([some.choice((0, 0, 0, 1, 2, 3, 4)) for _ in range(n)], np.int16),
            np.array([some.choice(ids) for _ in range(n)], np.uint64),
            np.full(n, np.nan),
            np.array([some.randrange(6) for _ in range(4)])[np.zeros(n, np.int64)],
            np.ones(n, np.bool_),
            np.zeros(0, np.int64),
        )
        return cls(heard, np.array([[some.random() < 0.6 for _ in range(3)] for _ in range(n)]))

    def cut(self, first: int, end: int) -> Log:
        columns: list[Any] = [c[first:end] if isinstance(c, np.ndarray) else c for c in self.heard]
        return Log(Heard(*columns), self.wanted[first:end])


class Rows:
    """A table of four customers."""

    def __init__(self) -> None:
        of = shop()
        self.plan = compile_contact_plan(of, TYPES, [of.contacts.strategy_property], [])
        self.table = ContactTable(self.plan.layout)

    def run(self, log: Log) -> list[tuple[int, int]]:
        n = len(log.wanted)
        chosen, at_ms = np.zeros(n, np.int64), np.zeros(n, np.int64)
        plan, heard = self.plan, log.heard
        is_new = self.table.next_offset[heard.row, heard.topic] <= heard.word
        heard = heard._replace(counts=heard.counts & is_new)
        decide(plan.rules, PACKED, plan.quiet, plan.engine, state_of(self.table, 4), heard,
               log.wanted, chosen, at_ms)  # fmt: skip
        return list(zip(chosen.tolist(), at_ms.tolist(), strict=True))

    def written(self) -> list[bytes | None]:
        values = encode_contact_rows(self.table, np.arange(4))
        return [values[i] for i in range(4)]


@pytest.mark.parametrize("seed", range(5))
def test_chunks_cut_anywhere_and_read_again_change_nothing(seed: int) -> None:
    log, some = Log.of(seed), Random(seed)
    whole = Rows()
    expected = whole.run(log)
    assert {k for k, _ in expected} >= {-2, -1, 0, 2}
    assert any(at > t for (_, at), t in zip(expected, log.heard.time_ms.tolist(), strict=True))
    pieces, done, decided = Rows(), 0, []
    while done < len(expected):
        end = done + some.randrange(1, 60)
        decided += pieces.run(log.cut(done, end))
        before = pieces.written()
        again = pieces.run(log.cut(max(0, done - 30), end))  # as after a crash
        assert (max(k for k, _ in again) < 0, pieces.written()) == (True, before)
        done = end
    assert decided == expected
    assert pieces.written() == whole.written()
    assert whole.table.take_dirty().tolist() == [0, 1, 2, 3]


def test_events_of_one_customer_in_one_chunk_see_each_other() -> None:
    n = 5  # five in a second: one contact
    heard = Heard(0, np.zeros(n, np.int64), np.arange(n), np.full(n, FIRST_MS), np.zeros(n, np.int16),
                  np.zeros(n, np.uint64), np.full(n, np.nan), np.zeros(n, np.int64), np.ones(n, np.bool_),
                  np.zeros(0, np.int64))  # fmt: skip
    wanted = np.tile([True, True, False], (n, 1))
    assert [k for k, _ in Rows().run(Log(heard, wanted))] == [0, -1, -1, -1, -1]


def test_silent_and_repeated_events_change_no_row() -> None:
    log = Log.of(3, 50)
    quiet = Log(log.heard._replace(counts=np.zeros(50, np.bool_)), log.wanted)
    rows = Rows()
    assert {k for k, _ in rows.run(quiet)} == {-2}
    assert not rows.table.cells.any()
    assert not rows.table.has_dirty


def test_what_expired_when_it_was_decided_counts_nothing() -> None:
    @numba.njit
    def late(rules: Any, zones: Any, state: Any, heard: Any, at_ms: int, expires_ms: int) -> None:
        settle(rules, zones, state, heard, 0, 0, at_ms, expires_ms)

    log, rows = Log.of(1, 1), Rows()
    for expires_ms, counted in ((FIRST_MS, False), (FIRST_MS + 1, True)):
        late(rows.plan.rules, PACKED, state_of(rows.table, 4), log.heard, FIRST_MS, expires_ms)
        assert (rows.table.has_dirty, bool(rows.table.cells.any())) == (counted, counted)


def test_the_zone_that_an_event_named_last_is_remembered() -> None:
    of = campaign(
        contacts={"time_zone": "UTC", "zone_property": "context.timezone"},
        quiet_hours={"from": "21:00", "until": "08:00"},
    )
    plan = compile_contact_plan(of, TYPES, ["context.timezone"], [])
    home = plan.layout.cell("home")
    log = Log.of(4, 60)
    some, names = Random(5), [category_hash(name) for name in (b"Europe/Berlin", b"Asia/Tokyo")]
    named = np.array([some.choice((0, 0, *names)) for _ in range(60)], np.uint64)
    expected, known = [], dict.fromkeys(range(4), 0)
    for row, name in zip(log.heard.row.tolist(), named.tolist(), strict=True):
        known[row] = name or known[row]
        expected.append(known[row])
    table, out = ContactTable(plan.layout), np.zeros(60, np.uint64)
    moved = np.zeros(60, np.bool_)
    for first in range(0, 60, 17):
        part, heard = slice(first, first + 17), log.cut(first, first + 17).heard
        follow_homes(home, state_of(table, 4), heard, named[part], out[part], moved[part])
        assert (table.next_offset[heard.row, 0] <= heard.word).all()  # they are still to be decided
        keep_homes(state_of(table, 4), heard, moved[part])
    assert out.tolist() == expected
    assert table.take_dirty().tolist() == [0, 1, 2, 3]
    again = np.zeros(60, np.uint64)
    follow_homes(home, state_of(table, 4), log.heard, named, again, moved)
    assert not moved.any()  # what is replayed moves nobody
    last = np.zeros(4, np.uint64)
    silent = log.heard._replace(counts=np.zeros(60, np.bool_))
    follow_homes(home, state_of(table, 4), silent, np.zeros(60, np.uint64), again, moved)
    last[log.heard.row] = again
    assert last.tolist() == [known[row] for row in range(4)]
