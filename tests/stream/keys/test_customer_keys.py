"""Keys against customers, one by one; and customers in several partitions, by hand."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.campaign.file import EventMapping
from stream.columns import RecordChunk, Spans
from stream.events.decoder import EventDecoder
from stream.keys.customer_keys import KeyCounts, compare_keys
from stream.keys.spread import Spread, spread
from stream.state.table import CustomerTable

NOW_MS = 1_760_000_000_000
IDS = st.text(st.sampled_from('ab"é'), min_size=1, max_size=12)


def chunk_of(records: list[tuple[bytes | None, bytes]]) -> RecordChunk:
    n = len(records)
    return RecordChunk(
        "events", 0, np.arange(n), np.full(n, NOW_MS), Spans.of([key for key, _ in records]),
        Spans.of([value for _, value in records]), n,
    )  # fmt: skip


def event(customer: object) -> bytes:
    return json.dumps({"userId": customer, "type": "page", "timestamp": NOW_MS}).encode()


@given(st.lists(st.tuples(IDS, st.sampled_from(["same", "quoted", "null", "other", "bad"]), IDS)))
def test_keys_are_counted_as_a_plain_loop_does(rows: list[tuple[str, str, str]]) -> None:
    records: list[tuple[bytes | None, bytes]] = []
    null = differ = 0
    for customer, kind, other in rows:
        key: bytes | None = customer.encode()
        if kind == "quoted":
            key = b'"%s"' % customer.encode()
        elif kind == "null":
            key, null = None, null + 1
        elif kind == "other":
            key = other.encode()
            differ += other not in (customer, f'"{customer}"')
        elif kind == "bad":  # no event: nobody can say whose key it should have
            records.append((other.encode(), b"no event"))
            continue
        records.append((key, event(customer)))
    chunk = chunk_of(records)
    decoded = EventDecoder(EventMapping(), (), (), ()).decode(chunk, NOW_MS)
    batch, rejects = decoded.batch, decoded.rejects
    assert len(batch) == sum(kind != "bad" for _, kind, _ in rows)
    assert len(batch) + len(rejects) == len(records)
    assert compare_keys(chunk, batch) == KeyCounts(null, differ)


def test_a_number_is_its_text() -> None:
    chunk = chunk_of([(b"7", event(7)), (b"70", event(7)), (b"", event(7)), (b'"', event(7))])
    batch = EventDecoder(EventMapping(), (), (), ()).decode(chunk, NOW_MS).batch
    assert compare_keys(chunk, batch) == KeyCounts(0, 3)


def test_customers_of_several_partitions_are_counted_once() -> None:
    tables = [CustomerTable(1) for _ in range(3)]
    for table, ids in zip(tables, (b"abc", b"bcd", b"x"), strict=True):
        table.rows_for(Spans.of([bytes([one]) for one in ids]))
    tables[0].erase(np.array([tables[0].find(b"c")]))
    assert spread([table.hashes for table in tables]) == Spread(customers=5, several=1)
    assert spread([]) == Spread(0, 0)
    assert Spread(3, 1) + Spread(4, 2) == Spread(7, 3)
