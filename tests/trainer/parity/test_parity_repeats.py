"""Events that come again: the replay of a parity check knows them as the worker did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec

from stream.features.plan import compile_features
from tests.trainer.parity.parity_harness import (
    HOUR_MS,
    START_MS,
    Record,
    Shop,
    Worker,
    bundle,
    causes,
    event,
    two_topics,
)

TIMES_MS = [START_MS + i // 2 * HOUR_MS for i in range(20)]
REPEATED = [event("ann", 1, time_ms, 8.0, received_ms=time_ms) for time_ms in TIMES_MS]


def with_id(record: Record, number: int) -> bytes:
    return (record.value or b"").replace(b"{", b'{"messageId": "m-%d", ' % number, 1)


def test_what_comes_again_asks_for_no_decision(shop: Shop) -> None:
    records = [replace(record, value=with_id(record, i // 2)) for i, record in enumerate(REPEATED)]
    worker = Worker(shop.campaign, bundle(compile_features(shop.campaign), 1))
    worker.take(records)
    assert len(worker.decisions) == len(records) // 2
    parity = replace(shop, events={"events": records}, decisions=worker.decisions).check()
    assert (causes(parity), parity.undecided_yet, parity.equal) == ({}, 0, len(worker.decisions))


def test_a_worker_that_remembered_nothing_is_told_from_a_fault(shop: Shop) -> None:
    records = [replace(record, value=with_id(record, i // 2)) for i, record in enumerate(REPEATED)]
    mapping = msgspec.structs.replace(shop.campaign.events, repeats_remembered=0)
    before = msgspec.structs.replace(shop.campaign, events=mapping)
    worker = Worker(before, bundle(compile_features(before), 1))
    worker.take(records)
    parity = replace(shop, events={"events": records}, decisions=worker.decisions).check()
    half = len(records) // 2
    assert causes(parity) == {"event_repeated": half, "state_of_repeated": half - 1}
    assert parity.holds


def test_what_comes_again_is_known_also_when_topics_are_interleaved(tmp_path: Path) -> None:
    shop, worker = two_topics(tmp_path)
    records = [replace(record, value=with_id(record, i // 2)) for i, record in enumerate(REPEATED)]
    for topic in ("views", "orders"):
        shop.events[topic] = records
    for at in range(0, len(records), 2):
        for topic in ("views", "orders"):
            worker.take(records[at : at + 2], at, topic)
    parity = shop.check()
    assert (causes(parity), parity.equal) == ({}, len(records))
