"""What a contact row takes, what the engine events compile to, and which rules are refused."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest

from stream.campaign.file import Campaign
from stream.campaign.sections.contact_sections import wrong_contacts
from stream.compiled.category_hash import category_hash
from stream.contacts.contact_kernel import seconds_after
from stream.contacts.contact_layout import describe_slots, lay_out_contacts, remembers
from stream.contacts.contact_table import ContactTable
from stream.contacts.engine_events import (
    CONVERTED,
    FAILED,
    SENT,
    compile_engine_events,
    engine_types,
    strategy_of,
)
from tests.stream.contacts.contacts_harness import Customer, campaign

BYTES_MAX = 160
AT_MS = 1_780_000_000_000


def ten(**more: Any) -> Campaign:
    """Ten strategies, two rolling caps of 3, two calendar caps, one cool-down each."""
    caps = [
        {"id": "day", "contacts": 3, "within": "1d"}, {"id": "week", "contacts": 3, "within": "7d"},
        {"id": "today", "contacts": 2, "per": "day"}, {"id": "month", "contacts": 9, "per": "month"},
    ]  # fmt: skip
    strategies = [{"id": f"s{i}", "cool_down": "3d"} for i in range(10)]
    contacts = {"time_zone": "UTC", "sent": ["s"], "failed": ["f"], **more}
    return campaign(strategies=strategies, caps=caps, contacts=contacts)


def test_a_row_takes_no_more_than_promised() -> None:
    layout = lay_out_contacts(ten())
    assert layout.row_bytes == 8 + 10 * 8 + 2 * 16 + 2 * 4 + 8 + 2 * 4 == 144
    # Where engines take nothing back, what could be given back is not remembered.
    assert lay_out_contacts(ten(sent=[], failed=[])).row_bytes == 8 + 10 * 4 + 2 * 12 + 2 * 4 == 80
    assert lay_out_contacts(ten(sent=[], failed=[], one_open=True)).row_bytes == 120 <= BYTES_MAX
    table = ContactTable(layout)
    table.fit(1_000_000)
    assert table.nbytes / 1_000_000 <= BYTES_MAX


def test_without_rules_nothing_is_remembered() -> None:
    of = campaign()
    assert (remembers(of), lay_out_contacts(of).cells) == (False, 0)
    row = Customer(of)
    row.count(0, AT_MS, AT_MS)
    row.hear(FAILED, 0, AT_MS)
    assert row.against(0, AT_MS) == ("", 0)


def test_a_table_grows_and_forgets() -> None:
    table = ContactTable(lay_out_contacts(ten()))
    table.cells[5] = 7
    table.next_offset[5] = 9
    table.mark_dirty(np.array([5, 9]))
    table.fit(10_000)
    assert (len(table.cells), int(table.cells[5, 0]), int(table.cells[9_999].sum())) == (
        10_000,
        7,
        0,
    )
    table.erase(np.array([5]))
    assert (int(table.cells[5].sum()), int(table.next_offset[5, 0])) == (0, 0)
    assert (table.has_dirty, table.take_dirty().tolist(), table.has_dirty) == (True, [9], False)


def test_seconds_are_rounded_to_the_careful_side() -> None:
    assert [seconds_after(ms) for ms in (-5, 0, 1, 1000, 1001)] == [1, 1, 1, 1, 2]
    assert seconds_after(2**60) == 2**32 - 1


def test_a_row_is_described_by_what_it_counts() -> None:
    of = campaign(caps=[{"id": "day", "contacts": 1, "within": "1d"}], strategies=[{"id": "mail"}])
    row = Customer(of)
    row.count(0, 5000)
    assert describe_slots(row.layout, row.cells) == {
        "last:mail": [5], "cap:day/all:/rolling": [5],
    }  # fmt: skip


def test_engine_events_are_found_by_type_and_strategy() -> None:
    of = ten(converted=["s", "order"], strategy_property="properties.mail", time_property="at")
    assert engine_types(of.contacts) == ("s", "f", "s", "order")
    events = compile_engine_events(of, ["order", "s", "x", "f"], ["p", "properties.mail"], ["at"])
    assert events.says.tolist() == [CONVERTED, SENT | CONVERTED, 0, FAILED, 0]
    assert (events.path, events.time_path) == (1, 0)
    assert strategy_of(events, np.uint64(category_hash(b"s7"))) == 7
    assert strategy_of(events, np.uint64(category_hash(b"other"))) == -1
    assert strategy_of(events, np.uint64(0)) == 10


def test_many_strategies_have_bits_of_their_own() -> None:
    some = Random(2)
    of = campaign(
        strategies=[{"id": f"s{i}", "cool_down": "1d"} for i in range(70)],
        contacts={"failed": ["f"], "sent": ["s"]},
    )
    row = Customer(of)
    for k in range(70):
        row.count(k, AT_MS)
    given_back = set(some.sample(range(70), 30))
    for k in given_back:
        row.hear(FAILED, k, AT_MS + 1000)
    free = {k for k in range(70) if row.against(k, AT_MS + 2000)[0] == ""}
    assert free == given_back


def test_a_contact_comes_back_once_and_by_its_time() -> None:
    of = campaign(
        strategies=[{"id": "a"}], contacts={"failed": ["f"]},
        caps=[{"id": "c", "contacts": 3, "within": "7d"}],
    )  # fmt: skip
    row = Customer(of)
    for day in range(3):
        row.count(0, AT_MS + 86_400_000 * day)
    now_ms = AT_MS + 3 * 86_400_000
    row.hear(FAILED, 0, now_ms, contact_ms=AT_MS + 86_400_000)  # not the last one
    assert row.against(0, now_ms)[0] == "capped"
    for _ in range(3):
        row.hear(FAILED, 0, now_ms, contact_ms=AT_MS + 2 * 86_400_000)
    assert row.against(0, now_ms) == ("", 0)
    row.count(0, now_ms)
    assert row.against(0, now_ms) == ("capped", AT_MS + 7 * 86_400_000)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"caps": [{"id": "c", "contacts": 1}]}, "at caps[0]: expected either within or per, got neither"),
        ({"caps": [{"id": "c", "contacts": 1, "within": "1d", "per": "day"}]}, "per, got both"),
        ({"caps": [{"id": "c", "contacts": 1, "within": "1d"}] * 2}, "at caps[1].id: expected each id once"),
        ({"caps": [{"id": "c", "contacts": 1, "within": "500ms"}]}, "expected whole seconds"),
        ({"caps": [{"id": "c", "contacts": 1, "within": "9999d"}]}, "at most 3660d"),
        ({"caps": [{"id": "c", "contacts": 1, "within": "1d", "scope": "channel", "names": ["fax"]}]},
         'at caps[0].names[0]: expected one of mail of scope "channel", got "fax"'),
        ({"caps": [{"id": "c", "contacts": 1, "within": "1d", "names": ["a"]}]}, "expected none of scope"),
        ({"caps": [{"id": "c", "contacts": 1, "per": "day"}]}, "at contacts.time_zone: expected the IANA"),
        ({"contacts": {"time_zone": "Europe/Bonn"}}, "at contacts.time_zone: expected the IANA name"),
        ({"exclusive": [{"id": "x", "members": ["a", "z"], "within": "1d"}]},
         'at exclusive[0].members[1]: expected one of a, b, g, strategies and groups, got "z"'),
        ({"exclusive": [{"id": "x", "members": ["a", "a"], "within": "1d"}]}, "each member once"),
        ({"quiet_hours": {"from": "21:00", "until": "08:00"}}, "[quiet_hours] goes by local time"),
        ({"quiet_hours": {"from": "21:00", "until": "21:00"}, "contacts": {"time_zone": "UTC"}},
         "expected another time than from"),
        ({"quiet_hours": {"from": "08:00", "until": "07:30", "release_spread": "31m"},
          "contacts": {"time_zone": "UTC"}}, "at most the 30m between 07:30 and 08:00"),
        ({"contacts": {"correct_within": "1ms"}}, "at contacts.correct_within: expected whole seconds"),
    ],
    ids=str,
)  # fmt: skip
def test_rules_that_cannot_hold_are_refused(more: dict[str, Any], says: str) -> None:
    raw = {
        "app": "shop", "topics": {"events": ["events"]},
        "features": [{"op": "count", "half_lives": ["1d"]}],
        "strategies": [{"id": "a", "channel": "mail", "group": "g"}, {"id": "b"}], **more,
    }  # fmt: skip
    assert says in wrong_contacts(msgspec.convert(raw, Campaign))


def test_a_late_contact_is_not_one_of_the_latest() -> None:
    of = campaign(strategies=[{"id": "a"}], caps=[{"id": "c", "contacts": 1, "within": "7d"}],
                  contacts={"failed": ["f"]})  # fmt: skip
    row = Customer(of)
    for at_ms in (AT_MS, AT_MS + 1000, AT_MS - 5000):
        row.count(0, at_ms)
    assert row.cells[:4] == [AT_MS // 1000, AT_MS // 1000 + 1] * 2
    row.hear(FAILED, 0, AT_MS + 2000)
    assert row.against(0, AT_MS + 3000) == ("capped", AT_MS + 7 * 86_400_000)
