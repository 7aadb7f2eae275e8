"""Budgets on a real Kafka: shared by workers that stop and crash, used up, never exceeded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import MakeScene
from tests.stream.worker.contact_log.test_caps_kafka import Carts, published
from tests.stream.worker.faults.fault_harness import Scene
from tests.stream.worker.faults.fault_verifier import read
from tests.stream.worker.test_worker_kafka import StartWorker, caught_up

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]

LIMIT = 2_000
BUDGET = f'\n[[budgets]]\nid = "all"\ncontacts = {LIMIT}\nper = "total"\n'


def budgeted(make_scene: MakeScene, seed: int) -> Scene:
    scene = make_scene(
        partitions=2, form="cloudevents", commit_interval_ms=300, policy=", do_nothing = false"
    )
    scene.change(more=BUDGET)
    scene.promote(seed)
    return scene


def decided(scene: Scene) -> dict[str, list[Any]]:
    """The decisions by their ids, repeats behind the first."""
    found: dict[str, list[Any]] = {}
    for partition in range(scene.partitions):
        for record in read(scene.bootstrap, scene.campaign.topics.decisions, partition):
            one = json.loads(record.value() or b"")
            found.setdefault(one["id"], []).append(one["data"])
    return found


def contacts(scene: Scene) -> int:
    """Decisions with a contact in any of their records: an engine may have acted on it."""
    repeats = decided(scene).values()
    return sum(any(one["decision"] == "act" for one in records) for records in repeats)


def test_workers_that_share_a_budget_use_it_up_and_no_more(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    scene = budgeted(make_scene, seed)
    first, second = (start_worker(scene).ready() for _ in range(2))
    with Carts(scene, "a"):
        second.wait_until("decides", lambda: published(scene) > LIMIT // 2)
        assert first.stop() == 0, first.tail()  # gives back what it did not spend
        second.wait_until("has decided", lambda: published(scene) > 2 * LIMIT)
    caught_up(scene, second)
    assert 0.98 * LIMIT <= contacts(scene) <= LIMIT
    last = [records[-1] for records in decided(scene).values()][-1]
    assert last["reasons"] == ["BUDGET"], json.dumps(last)


def test_a_budget_is_not_exceeded_though_workers_are_killed(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    scene = budgeted(make_scene, seed)
    with Carts(scene, "a"):
        for _ in range(3):
            worker = start_worker(scene).ready()
            before = published(scene)
            worker.wait_until("decides", lambda: published(scene) > before + 500)  # noqa: B023
            worker.kill()
        worker = start_worker(scene).ready()
        worker.wait_until("has decided", lambda: published(scene) > 2 * LIMIT)
    caught_up(scene, worker)
    assert 0.5 * LIMIT <= contacts(scene) <= LIMIT
