"""Parity: what was logged equals the replay, and whatever does not is found and explained."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from models.registry import Registry
from stream.campaign.file import Campaign
from stream.columns import Spans
from stream.features.plan import compile_features
from tests.bundles import remade
from tests.trainer.parity.parity_harness import (
    HOUR_MS,
    START_MS,
    Record,
    Shop,
    Worker,
    about,
    bundle,
    campaign,
    causes,
    event,
    two_topics,
)
from trainer.parity.compare import Measured
from trainer.parity.logged import Scope
from trainer.parity.result import Where


def test_what_a_worker_logs_equals_the_replay(shop: Shop) -> None:
    n = len(shop.decisions)
    parity = shop.check()
    assert parity.holds
    assert (parity.decisions, parity.compared, parity.equal, parity.events) == (n, n, n, n)
    assert (parity.different_bytes, parity.compared_bytes) == (0, n * len(shop.vector(0)) * 4)
    assert sorted(parity.models.values()) == [n // 2, n // 2]
    assert parity.findings == ()
    # Two normalizations, and features that move: equality is not that of constants.
    assert (np.ptp([shop.vector(i) for i in range(n)], axis=0) > 0).all()


def test_a_flipped_bit_is_found(shop: Shop) -> None:
    shop.flip(40, feature=5)
    parity = shop.check()
    assert not parity.holds
    assert causes(parity) == {"different": 1}
    assert parity.findings[0].first == about(shop, 40)
    assert (parity.equal, parity.different_bytes) == (parity.compared - 1, 1)
    named = {feature.name: feature for feature in parity.features if feature.differences}
    (name,) = named
    assert name == compile_features(shop.campaign).names[5]
    first = named[name].first
    assert first is not None
    assert first.replayed is not None
    logged = shop.vector(40)[5]
    assert (first.where, first.logged, first.cause) == (about(shop, 40), logged, "different")
    assert abs(logged - np.float32(first.replayed)) == np.spacing(np.abs(logged))
    assert named[name].largest == abs(float(logged) - first.replayed)


def test_a_sign_of_zero_and_a_not_finite_number_are_differences(shop: Shop) -> None:
    logged = np.array([[0.0, 1.0], [-0.0, np.nan]], np.float32)
    found = Measured.of(logged, np.array([[0.0, 1.0], [0.0, np.nan]], np.float32))
    assert (found.equal, found.differences.tolist(), found.largest.tolist()) == (1, [1, 0], [0, 0])
    shop.flip(40, feature=5, bit=30)
    (feature,) = (one for one in shop.check().features if one.differences)
    assert feature.largest is None or feature.largest > 1e30


@pytest.mark.parametrize(
    "headers",
    [[], [("features", b"\0" * 8)], [("features", b"\0" * 400)], [("feature", b"\0" * 52)]],
)
def test_a_missing_header_is_found(shop: Shop, headers: Any) -> None:
    shop.change(7, headers=[("content-type", b"application/json"), *headers])
    parity = shop.check()
    assert causes(parity) == {"no_vector": 1}
    assert parity.findings[0].first == about(shop, 7)
    assert not parity.holds
    assert parity.equal == parity.compared == len(shop.decisions) - 1


def test_decisions_that_cannot_be_compared_say_why(shop: Shop, tmp_path: Path) -> None:
    changed = compile_features(campaign(more='{ op = "tenure" },'))
    other = bundle(changed, 3)
    contract = msgspec.structs.replace(compile_features(shop.campaign).contract, kernel_version=99)
    older = remade(bundle(compile_features(shop.campaign), 4), contract=contract)
    registry = Registry(shutil.copytree(shop.registry.url, tmp_path / "registry"))
    registry.publish(other)
    registry.publish(older)
    shop.registry = registry

    def by(model: str, contract: str) -> Callable[[dict[str, Any]], None]:
        return lambda message: message["data"].update(model=model, feature_contract=contract)

    mine = compile_features(shop.campaign).contract.digest
    shop.edit(3, by(other.manifest.version, changed.contract.digest))
    shop.edit(4, by(older.manifest.version, contract.digest))
    shop.edit(5, by("20200101T000000Z-00000000", mine))
    shop.edit(6, by("20200101T000000Z-00000000", "ffff"))
    shop.edit(7, lambda message: message["data"]["event"].update(topic="another"))
    parity = shop.check()
    assert causes(parity) == {
        "other_topic": 1, "other_kernel": 1, "other_contract": 2, "model_unknown": 1,
        "no_decision": 1,
    }  # fmt: skip
    assert parity.equal == parity.compared == len(shop.decisions) - 5


def test_records_that_are_no_decisions_are_counted(shop: Shop) -> None:
    flat = b'{"decision_id":"m1","customer_id":"c1","strategy":"mail","decided_at":1}'
    shop.decisions += [Record(b"c1", flat), Record(b"c1", b"{"), Record(None, None)]
    parity = shop.check()
    assert causes(parity) == {"unreadable": 3}
    assert parity.findings[0].first == Where("shop-decisions", 0, len(shop.decisions) - 3, None)


def test_repeated_decisions_have_to_be_the_same(shop: Shop) -> None:
    shop.decisions[60:60] = shop.decisions[40:60]  # a restart
    parity = shop.check()
    assert parity.holds
    assert (parity.repeated, parity.equal) == (20, len(shop.decisions))
    shop.flip(70)
    parity = shop.check()
    assert causes(parity) == {"different": 1, "repeat_differs": 1}
    assert [finding.first for finding in parity.findings] == [about(shop, 70)] * 2


def test_a_repeat_by_another_model_is_compared_with_its_own_normalization(shop: Shop) -> None:
    worker = Worker(shop.campaign, bundle(compile_features(shop.campaign), 2))
    worker.take(shop.events["events"][:20])
    assert worker.decisions[5].headers != shop.decisions[5].headers
    shop.decisions[20:20] = worker.decisions
    parity = shop.check()
    assert parity.holds
    assert (parity.repeated, parity.equal) == (20, len(shop.decisions))


def test_events_and_decisions_without_a_counterpart(shop: Shop) -> None:
    n = len(shop.decisions)
    shop.edit(20, lambda message: message["data"]["event"].update(offset=n + 7))
    shop.edit(21, lambda message: message["data"]["event"].update(partition=1))
    del shop.decisions[-3:], shop.decisions[50], shop.decisions[0]
    parity = shop.check()
    assert causes(parity) == {"no_event": 2, "no_decision": 4}
    assert parity.undecided_yet == 3
    assert not parity.holds


def test_a_decision_topic_that_was_cut_explains_missing_decisions(shop: Shop) -> None:
    shop.starts = {"shop-decisions": 30}
    parity = shop.check()
    assert causes(parity) == {"decision_removed": 30}
    assert parity.holds


def test_a_cut_history_explains_the_customers_who_had_events_in_it(shop: Shop) -> None:
    keys = [record.key for record in shop.events["events"]]
    late = next(i for i, key in enumerate(keys) if key not in keys[:i] and i >= 10)
    shop.starts = {"events": late}
    parity = shop.check()
    assert parity.holds
    found = causes(parity)
    assert found["event_removed"] == late
    assert 0 < found["history_cut"] < parity.compared == len(keys) - late
    assert parity.equal == parity.compared - found["history_cut"]
    shop.flip(late)  # of a customer who had none of the removed events
    assert causes(shop.check()) == found | {"different": 1}
    # With decisions removed as well, nobody knows who had events before.
    shop.starts = {"events": late, "shop-decisions": 1}
    assert causes(shop.check())["history_cut"] == found["history_cut"] + 1


def strict(campaign: Campaign) -> Campaign:
    """The same with one bad value costing the record."""
    events = msgspec.structs.replace(campaign.events, strict=True)
    return msgspec.structs.replace(campaign, events=events)


def test_decisions_before_there_was_a_model_are_compared_too(shop: Shop) -> None:
    worker = Worker(shop.campaign, bundle(compile_features(shop.campaign), 1))
    worker.explore()
    worker.take(shop.events[shop.campaign.topics.events[0]])
    shop.decisions[:] = worker.decisions
    parity = shop.check()
    assert parity.holds
    assert parity.compared == parity.equal == len(worker.decisions) > 0
    assert parity.models == {"none": len(worker.decisions)}
    shop.flip(3, feature=1)
    assert causes(shop.check()) == {"different": 1}


def test_an_event_from_after_its_record_is_moved_by_worker_and_replay_alike(shop: Shop) -> None:
    records = shop.events["events"][:60]
    far_ms = START_MS + 40 * 24 * HOUR_MS
    records[20] = event("c3", 1, far_ms, received_ms=records[20].timestamp_ms)
    worker = Worker(shop.campaign, bundle(compile_features(shop.campaign), 1))
    worker.take(records, now_ms=far_ms)
    parity = replace(shop, events={"events": records}, decisions=worker.decisions).check()
    assert (parity.events, parity.equal, parity.findings) == (60, 60, ())


def test_an_event_that_is_refused_only_now(shop: Shop) -> None:
    """Its time is far ahead of its record: the worker had a campaign file that allowed it."""
    shop = replace(shop, campaign=strict(shop.campaign))
    records = shop.events["events"][:60]
    far_ms = START_MS + 40 * 24 * HOUR_MS
    records[20] = event("c3", 1, far_ms, received_ms=records[20].timestamp_ms)
    lenient = msgspec.structs.replace(shop.campaign.events, timestamp_ahead_max="60d")
    before = msgspec.structs.replace(shop.campaign, events=lenient)
    worker = Worker(before, bundle(compile_features(before), 1))
    worker.take(records, now_ms=far_ms)
    parity = replace(shop, events={"events": records}, decisions=worker.decisions).check()
    later = sum(record.key == b"c3" for record in records[21:])
    assert causes(parity) == {"event_refused": 1, "state_of_refused": later}
    assert parity.holds


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


TIMES_MS = [START_MS + i // 2 * HOUR_MS for i in range(20)]
REPEATED = [event("ann", 1, time_ms, 8.0, received_ms=time_ms) for time_ms in TIMES_MS]


def with_id(record: Record, number: int) -> bytes:
    return (record.value or b"").replace(b"{", b'{"messageId": "m-%d", ' % number, 1)


def test_each_event_is_judged_by_its_own_record(shop: Shop) -> None:
    """A young record in the same chunk does not make an old one's event possible."""
    shop = replace(shop, campaign=strict(shop.campaign))
    records = shop.events["events"][:20]
    far_ms = START_MS + 40 * 24 * HOUR_MS
    records[3] = event("c3", 1, far_ms, received_ms=records[3].timestamp_ms)
    records[4] = event("c4", 1, far_ms, received_ms=far_ms)
    worker = Worker(shop.campaign, bundle(compile_features(shop.campaign), 1))
    worker.take(records, now_ms=far_ms)
    assert len(worker.decisions) == 19
    parity = replace(shop, events={"events": records}, decisions=worker.decisions).check()
    assert (parity.events, parity.equal, parity.findings) == (19, 19, ())


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_sample_has_customers_whole(shop: Shop, share: float) -> None:
    sizes = Counter(record.key for record in shop.events["events"])
    parity = shop.check(Scope(share))
    assert parity.holds
    assert 0 < parity.customers < len(sizes)
    assert parity.events == parity.compared == parity.equal < len(shop.decisions)
    chosen = Scope(share).has_customers(Spans.of(list(sizes)))
    assert parity.events == sum(np.array(list(sizes.values()))[chosen])


def test_since_and_until_bound_what_is_compared_and_not_what_is_replayed(shop: Shop) -> None:
    times = [json.loads(record.value or b"")["timestamp"] for record in shop.events["events"]]
    since_ms, until_ms = sorted(times)[50], sorted(times)[90]
    shop.flip(0)  # long before
    del shop.decisions[2]
    parity = shop.check(Scope(since_ms=since_ms, until_ms=until_ms))
    assert parity.holds
    assert parity.compared == parity.equal == 40
    assert parity.events == len(times)
