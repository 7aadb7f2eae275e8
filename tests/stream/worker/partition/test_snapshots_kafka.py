"""Snapshots of a real worker: it restores the tail alone, and never a table that its topic denies."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient

from tests.conftest import MakeScene
from tests.stream.worker.faults.fault_harness import Scene
from tests.stream.worker.faults.fault_load import Events, send
from tests.stream.worker.faults.fault_verifier import Verifier
from tests.stream.worker.faults.fault_worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]

StartWorker = Callable[..., Worker]


def test_a_stopped_worker_restores_only_the_tail(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    scene = make_scene()
    sources = [(topic, Events(topic, 300, seed)) for topic in scene.topics]
    folder = scene.folder / "snapshots"
    keeping = f"import os; os.environ['OPPORTUNE_SNAPSHOTS'] = {str(folder)!r}"

    def run(events: int, patch: str) -> Worker:
        send(scene.bootstrap, sources, scene.partitions, events)
        worker = start_worker(scene, "member", patch)
        worker.wait_until("catches up", lambda: scene.lag() == 0)
        assert worker.stop() == 0, worker.tail()
        return worker

    kept = run(10_000, keeping)
    (snapshot,) = kept.lines("snapshot")
    assert snapshot["partitions"] == scene.partitions
    before = changelog_records(scene)

    elsewhere = run(500, "")  # it has no snapshots
    (restored,) = elsewhere.lines("restore")
    assert restored["rows"] == snapshot["rows"]
    tail = changelog_records(scene) - before

    again = run(500, keeping)
    assert len(again.lines("snapshot_used")) == scene.partitions
    # And of each partition the marker up to which the snapshot goes: it has to stand there still.
    assert [line["records"] for line in again.lines("restore")] == [tail + scene.partitions]
    verdict = Verifier(scene, [scene.bundle(seed)]).verify()
    assert verdict.events == 11_000
    assert (verdict.repeated, verdict.repeated_letters) == (0, 0)

    admin = AdminClient({"bootstrap.servers": scene.bootstrap})
    admin.delete_topics([scene.changelog])[scene.changelog].result(30)
    rebuilt = run(500, keeping)
    assert len(rebuilt.lines("state_unused")) == scene.partitions
    verdict = Verifier(scene, [scene.bundle(seed)]).verify()
    assert verdict.events == 11_500
    assert (verdict.repeated, verdict.repeated_letters) == (0, 0)


def changelog_records(scene: Scene) -> int:
    """Offsets in the changelog."""
    return sum(scene.ends(scene.changelog))
