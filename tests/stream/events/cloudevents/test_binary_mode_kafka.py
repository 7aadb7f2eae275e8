"""CloudEvents in binary mode through the real worker: decided like others, and refused with their headers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, cast

import pytest
from confluent_kafka import Producer

from stream.kafka.headers import Header
from tests.conftest import MakeScene
from tests.stream.worker.faults.fault_harness import Scene
from tests.stream.worker.faults.fault_verifier import read
from tests.stream.worker.faults.fault_worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]

EVENTS = 60


def headers_of(n: int) -> list[Header]:
    return [
        ("ce_specversion", b"1.0"), ("ce_id", b"m-%d" % n), ("ce_source", b"/shop"),
        ("ce_type", b"Order Completed"), ("ce_subject", b"u-%d" % (n % 7)),
        ("content-type", b"application/json"), ("topic", b"theirs"), ("trace", None),
    ]  # fmt: skip


def produce(scene: Scene) -> None:
    """Events whose customer, id and type stand in headers; every tenth has no object as its data."""
    producer = Producer({"bootstrap.servers": scene.bootstrap})
    for n in range(EVENTS):
        value = json.dumps([] if n % 10 == 0 else {"properties": {"value": 20.0}}).encode()
        producer.produce(
            scene.topics[0], value, f"u-{n % 7}".encode(), headers=cast("Any", headers_of(n)),
            timestamp=int(time.time() * 1000),
        )  # fmt: skip
    assert producer.flush(30) == 0


def test_attributes_in_headers_are_read_and_kept(
    make_scene: MakeScene, start_worker: Callable[..., Worker]
) -> None:
    scene = make_scene(partitions=1)
    produce(scene)
    worker = start_worker(scene)
    worker.wait_until("catches up", lambda: scene.lag() == 0)
    assert worker.stop() == 0, worker.tail()
    decisions = [
        json.loads(m.value() or b"") for m in read(scene.bootstrap, f"{scene.app}-decisions", 0)
    ]
    assert sorted(one["event_id"] for one in decisions) == sorted(
        f"m-{n}" for n in range(EVENTS) if n % 10
    )
    assert {one["customer_id"] for one in decisions} == {f"u-{n}" for n in range(7)}
    letters = [
        cast("list[Header]", m.headers()) for m in read(scene.bootstrap, f"{scene.app}-dead", 0)
    ]
    assert len(letters) == EVENTS // 10
    for n, headers in zip(range(0, EVENTS, 10), letters, strict=True):
        assert headers[1] == ("code", b"not_object")
        told = [("original.topic" if k == "topic" else k, v) for k, v in headers_of(n)]
        assert headers[6:] == told
