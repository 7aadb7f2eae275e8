"""The running worker contacts nobody against their will: what senders send, over a real Kafka."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import MakeScene
from tests.stream.worker.faults.fault_load import partition_of, producer
from tests.stream.worker.faults.fault_verifier import read
from tests.stream.worker.faults.fault_worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]

NOW_MS = time.time_ns() // 1_000_000
HOUR_MS = 3_600_000


def said(word: Any, time_ms: Any = NOW_MS - 60_000, **more: Any) -> dict[str, Any]:
    return {"type": "identify", "timestamp": time_ms, "traits": {"marketing_consent": word}, **more}


def context(**more: Any) -> dict[str, Any]:
    return {"type": "identify", "timestamp": NOW_MS - 60_000, "context": more}


CASES: dict[str, tuple[list[dict[str, Any]], bool]] = {
    "nothing-said": ([], True),
    "granted": ([said("granted")], True),
    "denied": ([said(False)], False),
    "context-traits": ([context(traits={"marketing_consent": False})], False),
    "unsubscribed": ([said("granted"), said("unsubscribed")], False),
    "opted_out": ([said("granted"), said("opted_out")], False),
    "zero": ([said("granted"), said(0)], False),
    "no-word": ([said("granted"), said("hmm \x1b[31m")], False),
    "no-word-then-one": ([said("granted"), said("hmm \x1b[31m"), said("subscribed")], True),
    "bad-time": ([said("granted"), said(False, "2025-10-09 at 8")], False),
    "bad-category": ([said("granted"), said(False, properties={"category": {"a": 1}})], False),
    "no-type": ([said("granted"), {**said(False), "type": 7}], False),
    "segment": ([context(consent={"categoryPreferences": {"Advertising": False}})], False),
    "segment-empty": ([context(consent={"categoryPreferences": {}})], False),
    "rudderstack": (
        [context(consentManagement={
            "deniedConsentIds": ["marketing"], "resolutionStrategy": "and",
        })], False,
    ),
    "ahead": ([said("granted", NOW_MS + 20 * HOUR_MS), said(False, NOW_MS)], False),
    "slow": ([said("granted"), said(False, NOW_MS - 24 * HOUR_MS)], False),
}  # fmt: skip


def test_what_customers_say_holds_on_the_running_worker(
    make_scene: MakeScene, start_worker: Callable[..., Worker]
) -> None:
    scene = make_scene(partitions=2, form="cloudevents")
    (topic,) = scene.topics
    worker = start_worker(scene)
    sender = producer(scene.bootstrap)
    for user, (records, _) in CASES.items():
        added = {"type": "track", "event": "Product Viewed", "timestamp": NOW_MS}
        for i, record in enumerate([*records, added, added]):
            value = json.dumps({**record, "userId": user, "messageId": f"{user}-{i}"}).encode()
            key = user.encode()
            sender.produce(topic, value, key, partition_of(key, value, scene.partitions))
    assert sender.flush(60) == 0
    worker.wait_until("catches up", lambda: scene.lag() == 0)
    assert worker.stop() == 0, worker.tail()
    topic = scene.campaign.topics.decisions
    messages = [m for p in range(scene.partitions) for m in read(scene.bootstrap, topic, p)]
    decided = [json.loads(message.value() or b"") for message in messages]
    last = {one["subject"]: one["data"] for one in decided}
    assert set(last) == set(CASES)
    for user, (_, is_contacted) in CASES.items():
        refused = last[user]["reasons"] == ["NO_CONSENT"]
        assert refused is not is_contacted, (user, last[user])
    (told,) = worker.lines("consent_unreadable")
    assert told["path"] == "traits.marketing_consent"
    assert told["word"] == r"hmm \x1b[31m"
    assert sum(line.get("consent_unreadable", 0) for line in worker.lines("summary")) <= 2
