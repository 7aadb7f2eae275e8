"""Contact rows as records: golden bytes, there and back, in any order, in other layouts, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.columns import RecordChunk, Spans
from stream.contacts import contact_records
from stream.contacts.contact_layout import ContactLayout, Slot, lay_out_contacts, layout_of
from stream.contacts.contact_mapping import ContactMapping
from stream.contacts.contact_records import ContactProgress, apply_contact_chunk
from stream.contacts.contact_table import ContactTable
from stream.errors import StateError
from stream.kafka.records import RecordReader, build_batches
from stream.state.table import CustomerTable
from tests.stream.contacts.contacts_harness import Customer, campaign

SMALL = ContactLayout(
    ("events",),
    (Slot("last:a", "times", 0, 2), Slot("cap:day/all:/day/campaign", "period", 2, 1, ("a",))),
    "UTC",
)
Records = Sequence[tuple[bytes, bytes | None]]


def chunk(records: Records) -> RecordChunk:
    batches = build_batches(Spans.of([k for k, _ in records]), Spans.of([v for _, v in records]), 0)
    data = b"".join(bytes(batch.seal(-1, -1, -1)) for batch in batches)
    (only,) = RecordReader("log", 3, data, 0, 100_000)
    return only


def filled(layout: ContactLayout, rows: dict[bytes, tuple[int, list[int]]]) -> Records:
    """The records of some rows, by customer the next offset and the cells."""
    table = ContactTable(layout)
    for i, (offset, cells) in enumerate(rows.values()):
        table.next_offset[i] = offset
        table.cells[i] = cells
    values = contact_records.encode_contact_rows(table, np.arange(len(rows)))
    return [(key, values[i]) for i, key in enumerate(rows)]


def read(
    records: Records, layout: ContactLayout
) -> tuple[CustomerTable, ContactTable, ContactProgress]:
    customers, table, progress = CustomerTable(1), ContactTable(layout), ContactProgress()
    apply_contact_chunk(chunk(records), table, customers, progress)
    return customers, table, progress


def test_golden_bytes() -> None:
    ((key, value),) = filled(SMALL, {b"ann": (7, [1, 1 << 31, 0x50_0203])})
    assert (key, SMALL.digest) == (b"ann", "580b97e64b1d")
    assert value == bytes.fromhex("01" "580b97e64b1d" "00" "0700000000000000" "01000000" "00000080"
                                  "03025000")  # fmt: skip
    assert contact_records.encode_layout(SMALL) == (
        b"\xffopportune-contacts-layout-580b97e64b1d",
        (
            b'{"version":1,"topics":["events"],"slots":[{"name":"last:a","kind":"times","cell":0,"size":2,'
            b'"of":[]},{"name":"cap:day/all:/day/campaign","kind":"period","cell":2,"size":1,"of":["a"]}],'
            b'"time_zone":"UTC"}'
        ),
    )
    marker = contact_records.encode_contact_marker({"events": 9}, 2)
    assert marker == b'{"version":1,"covered":{"events":9},"rows":2}'
    assert layout_of(SMALL.record) == SMALL


@given(st.dictionaries(st.text("abcd", min_size=1, max_size=3).map(str.encode),
       st.tuples(st.integers(1, 2**60), st.lists(st.integers(0, 2**32 - 1), min_size=3, max_size=3)),
       min_size=1, max_size=20))  # fmt: skip
def test_rows_come_back_as_they_were(rows: dict[bytes, tuple[int, list[int]]]) -> None:
    told = contact_records.encode_layout(SMALL)
    marker = contact_records.MARKER_KEY, contact_records.encode_contact_marker({"events": 9}, 2)
    customers, table, progress = read([told, *filled(SMALL, rows), marker], SMALL)
    for key, (offset, cells) in rows.items():
        row = customers.find(key)
        assert (table.next_offset[row, 0], table.cells[row].tolist()) == (offset, cells)
    assert progress.marker is not None
    assert (progress.marker.covered, table.has_dirty) == ({"events": 9}, False)


def test_the_row_that_has_seen_more_wins_and_is_written_again() -> None:
    told = contact_records.encode_layout(SMALL)
    old, new = filled(SMALL, {b"x": (5, [5, 5, 5])}), filled(SMALL, {b"x": (6, [6, 6, 6])})
    for records in ([*old, *new], [*new, *old]):
        customers, table, _ = read([told, *records], SMALL)
        row = customers.find(b"x")
        assert table.cells[row].tolist() == [6, 6, 6]
        assert table.take_dirty().tolist() == ([] if records[-1] == new[0] else [row])


def test_who_is_erased_has_had_no_contacts() -> None:
    told = contact_records.encode_layout(SMALL)
    rows = filled(SMALL, {b"x": (5, [5, 5, 5]), b"y": (5, [7, 7, 7])})
    late = filled(SMALL, {b"x": (9, [9, 9, 9])})
    customers, table, progress = read([told, *rows, (b"x", None)], SMALL)
    assert not table.cells[customers.find(b"x")].any()
    assert (table.next_offset[customers.find(b"x"), 0], progress.erased) == (0, 1)
    assert table.cells[customers.find(b"y")].tolist() == [7, 7, 7]
    customers, table, _ = read([told, *late, (b"x", None), *rows], SMALL)
    assert table.cells[customers.find(b"x")].tolist() == [5, 5, 5]


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        (b"x", b"\x01" + bytes(27), "a layout that was told before, not of 000000000000"),
        (b"x", b"\x02" + bytes(27), "expected a contact row of version 1"),
        (b"x", b"\x01", "expected a contact row of version 1, got 1 bytes"),
        (b"\xffother", b"{}", "expected a customer, a layout or a marker"),
        (contact_records.MARKER_KEY, b"{", "expected a marker"),
        (contact_records.MARKER_KEY, b'{"version":2,"covered":{},"rows":0}', "marker version 1, got 2"),
        (contact_records.LAYOUT_KEY, b"{}", "expected a layout of contact rows"),
        (contact_records.LAYOUT_KEY, b'{"version":2,"topics":[],"slots":[]}', "expected version 1"),
        (contact_records.LAYOUT_KEY, (b'{"version":1,"topics":[],"slots":[{"name":"a","kind":"until",'
         b'"cell":4,"size":1}]}'), "one after the other"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_its_place(key: bytes, value: bytes, says: str) -> None:
    told = contact_records.encode_layout(SMALL)
    with pytest.raises(StateError, match="log/3 offset 1") as caught:
        read([told, (key, value)], SMALL)
    assert says in str(caught.value)


def test_a_row_of_another_size_is_refused() -> None:
    told, ((key, value),) = (
        contact_records.encode_layout(SMALL),
        filled(SMALL, {b"x": (1, [1, 1, 1])}),
    )
    assert value is not None
    with pytest.raises(StateError, match="expected a row of 28 bytes, got 27 bytes"):
        read([told, (key, value[:-1])], SMALL)


def test_contacts_that_are_not_whole_are_refused() -> None:
    marker = contact_records.MARKER_KEY, contact_records.encode_contact_marker({"events": 9}, 2)
    *_, progress = read([marker, contact_records.encode_layout(SMALL)], SMALL)
    contact_records.check_contacts({"events": 9}, 2, progress, "log/3")
    contact_records.check_contacts({}, 0, ContactProgress(), "log/3")
    with pytest.raises(StateError, match=r"log/3: expected contacts up to \{'events': 10\}"):
        contact_records.check_contacts({"events": 10}, 2, progress, "log/3")
    with pytest.raises(StateError, match="got a marker of nothing"):
        contact_records.check_contacts({"events": 1}, 0, ContactProgress(), "log/3")
    with pytest.raises(StateError, match="expected 2 contact rows, as its marker says, got 1"):
        contact_records.check_contacts({"events": 9}, 1, progress, "log/3")


def with_caps(*caps: dict[str, Any], group: str = "g", zone: str = "UTC") -> Any:
    return campaign(
        caps=list(caps), contacts={"time_zone": zone, "failed": ["f"]},
        strategies=[{"id": "a", "group": group, "cool_down": "1d"}, {"id": "b", "group": "g"}],
    )  # fmt: skip


WEEK = {"id": "week", "contacts": 2, "within": "7d"}


def moved(before: Any, after: Any, row: Customer) -> Customer:
    """A customer's row under changed rules."""
    mapping = ContactMapping(lay_out_contacts(before), lay_out_contacts(after))
    new = Customer(after)
    mapped = mapping.rows(row.table.next_offset[:1], row.table.cells[:1])
    new.table.next_offset[:1], new.table.cells[:1] = mapped
    return new


DAY_MS = 86_400_000
FIRST_MS = 1_780_000_000_000


def test_changed_rules_keep_what_still_means_the_same() -> None:
    before = with_caps(WEEK)
    row = Customer(before)
    row.table.next_offset[0] = 44
    row.count(0, FIRST_MS)
    row.count(1, FIRST_MS + DAY_MS)
    assert row.against(1, FIRST_MS + 2 * DAY_MS) == ("capped", FIRST_MS + 7 * DAY_MS)
    after = with_caps({"id": "new", "contacts": 1, "per": "day"}, {**WEEK, "within": "3d"})
    new = moved(before, after, row)
    assert new.table.next_offset[0, 0] == 44
    assert new.against(1, FIRST_MS + 2 * DAY_MS) == ("capped", FIRST_MS + 3 * DAY_MS)
    renamed = moved(before, with_caps({**WEEK, "id": "other"}), row)
    assert renamed.against(1, FIRST_MS + 2 * DAY_MS) == ("", 0)
    assert renamed.against(0, FIRST_MS + DAY_MS - 1000) == ("cooling", FIRST_MS + DAY_MS)


def test_a_cap_that_is_raised_counts_no_contact_too_few() -> None:
    some = Random(3)
    for old, new in ((1, 3), (2, 3), (3, 1), (3, 2), (2, 2)):
        before, after = (with_caps({**WEEK, "contacts": n}) for n in (old, new))
        row, times = Customer(before), []
        for _ in range(some.randint(0, 6)):
            times.append(FIRST_MS + 1000 * some.randrange(14 * 86_400))
            row.count(1, times[-1])
        now_ms = FIRST_MS + 10 * DAY_MS
        is_full = sum(at > now_ms - 7 * DAY_MS for at in times) >= new
        got = moved(before, after, row).against(1, now_ms)[0]
        assert got == "capped" or not is_full
        if new <= old + 1:
            assert (got == "capped") == is_full


def test_what_was_counted_elsewhere_is_not_given_back_here() -> None:
    cap = {"id": "day", "contacts": 1, "per": "day", "zone": "campaign", "scope": "group"}
    for group, zone, comes_back in (
        ("g", "UTC", True),
        ("h", "UTC", False),
        ("g", "Asia/Tokyo", False),
    ):
        before, after = with_caps(cap, group="g"), with_caps(cap, group=group, zone=zone)
        row = Customer(before)
        row.count(0, FIRST_MS)
        new = moved(before, after, row)
        new.hear(2, 0, FIRST_MS + 5000)
        assert (new.against(1, FIRST_MS + 6000)[0] == "") == comes_back
