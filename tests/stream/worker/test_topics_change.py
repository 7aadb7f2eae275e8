"""Topics that are deleted, or get more partitions, under a running worker: told once, exit code 2."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from tests.conftest import CreateTopics, MakeScene
from tests.stream.worker.faults.fault_harness import Scene
from tests.stream.worker.faults.fault_load import Events, Load, send
from tests.stream.worker.faults.fault_worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]

StartWorker = Callable[..., Worker]
LOG_LINES_MAX = 300


def change(scene: Scene, topic: str, partitions: int) -> None:
    """Gives a topic another number of partitions; none deletes it."""
    admin = AdminClient({"bootstrap.servers": scene.bootstrap})
    if partitions:
        admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(30)
    else:
        admin.delete_topics([topic], operation_timeout=20)[topic].result(30)


def topics(scene: Scene) -> set[str]:
    return set(AdminClient({"bootstrap.servers": scene.bootstrap}).list_topics(timeout=20).topics)


def refused(worker: Worker) -> str:
    """Why it ended, which it says once, and without a flood."""
    assert worker.ended() == 2, worker.tail()
    (told,) = worker.lines("refused")
    assert [len(worker.lines(evt)) for evt in ("crash", "stop")] == [0, 1]
    assert len(worker.log.read_text().splitlines()) < LOG_LINES_MAX
    return str(told["reason"])


@pytest.mark.parametrize("which", ["decisions", "changelog"])
def test_an_own_topic_is_deleted(
    make_scene: MakeScene, start_worker: StartWorker, seed: int, which: str
) -> None:
    scene = make_scene(revoke_deadline_s=1.0)
    topic = scene.changelog if which == "changelog" else scene.campaign.topics.decisions
    with Load(scene.bootstrap, scene.topics, scene.partitions, 1_000, seed) as load:
        worker = start_worker(scene).ready()
        worker.wait_until("has committed", lambda: sum(scene.committed().values()) > 500)
        change(scene, topic, 0)
        reason = refused(worker)
        assert reason.startswith(f"topic '{topic}' was deleted while the worker ran")
        assert "Operator action: stop all workers and start them again" in reason
        assert topic not in topics(scene)  # nobody has created it by asking for it
        load.stop()
    again = start_worker(scene)
    again.wait_until("catches up", lambda: scene.lag() == 0)
    assert again.stop() == 0, again.tail()
    # Committed was what is durable: of what the changelog does not cover nothing.
    rebuilt = ["rebuild_until" in line for line in again.lines("begin")]
    assert any(rebuilt) == (which == "changelog")


def test_an_event_topic_is_deleted(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    scene = make_scene(topics=2, revoke_deadline_s=1.0)
    sources = [(topic, Events(topic, 50, seed)) for topic in scene.topics]
    send(scene.bootstrap, sources, scene.partitions, 500)
    worker = start_worker(scene).ready()
    worker.wait_until("catches up", lambda: scene.lag() == 0)
    change(scene, scene.topics[0], 0)
    reason = refused(worker)
    assert f"topic '{scene.topics[0]}' was deleted while the worker ran" in reason
    assert "correct topics.events" in reason


def test_an_event_topic_gets_more_partitions(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    scene = make_scene(revoke_deadline_s=1.0)
    (events,) = scene.topics
    with Load(scene.bootstrap, scene.topics, scene.partitions, 500, seed):
        worker = start_worker(scene).ready()
        change(scene, events, 6)
        reason = refused(worker)
    # In the words of the start.
    assert f"expected 6 partitions of the changelog '{scene.changelog}'" in reason
    assert "customers move to other partitions" in reason


def test_a_topic_that_does_not_take_the_time_of_this_machine(
    make_scene: MakeScene, start_worker: StartWorker, create_topics: CreateTopics, seed: int
) -> None:
    scene = make_scene(revoke_deadline_s=1.0)
    # To this topic every record is late: as if the clock here were slow.
    late = {"message.timestamp.before.max.ms": "0"}
    create_topics({scene.campaign.topics.decisions: scene.partitions}, late)
    with Load(scene.bootstrap, scene.topics, scene.partitions, 500, seed):
        reason = refused(start_worker(scene))
    assert f"by the broker's clock on '{scene.campaign.topics.decisions}', got 20" in reason
    assert "Operator action: set the clock" in reason
