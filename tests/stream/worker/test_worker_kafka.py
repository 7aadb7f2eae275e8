"""The worker on a real Kafka: restore, new features, new models, and whatever may stand on a topic."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from tests.conftest import MakeScene
from tests.stream.worker.faults.fault_harness import Scene
from tests.stream.worker.faults.fault_load import (
    INVALID,
    Events,
    Load,
    partition_of,
    producer,
    send,
)
from tests.stream.worker.faults.fault_verifier import Verifier
from tests.stream.worker.faults.fault_worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]

StartWorker = Callable[..., Worker]

MORE_FEATURES = """
[[features]]
op = "distinct"
events = ["Product Viewed"]
property = "properties.category"
window = "2d"
"""

# A rebuild of some seconds, so that it can be interrupted.
SLOWLY = """
import asyncio, os
os.environ.setdefault("NO_CYTHON", "1")
from stream.worker.processor import Processor
process = Processor.process
async def slowly(self, message):
    await asyncio.sleep(0.03)
    await process(self, message)
Processor.process = slowly
"""


def caught_up(scene: Scene, worker: Worker) -> None:
    """Waits until everything is committed, and stops the worker."""
    worker.wait_until("catches up", lambda: scene.lag() == 0)
    assert worker.stop() == 0, worker.tail()


def fill(scene: Scene, seed: int, count: int) -> list[tuple[str, Events]]:
    sources = [(topic, Events(topic, 300, seed)) for topic in scene.topics]
    send(scene.bootstrap, sources, scene.partitions, count)
    return sources


def test_a_restart_restores_the_rows_and_reads_on(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    scene = make_scene()
    sources = fill(scene, seed, 40_000)
    caught_up(scene, start_worker(scene))
    ends = scene.event_ends()
    send(scene.bootstrap, sources, scene.partitions, 1_000)
    again = start_worker(scene)
    caught_up(scene, again)
    assert {line["tp"]: line["offset"] for line in again.lines("begin")} == {
        f"{topic}/{partition}": end for (topic, partition), end in ends.items()
    }
    (restored,) = again.lines("restore")
    rows = sum(line["rows"] for line in again.lines("begin"))
    assert restored["rows"] == rows > 200
    # The rows of the checkpoints, which are not one for each event. (Fewer than the rows when a
    # rebalance cut the restore in two.)
    assert 0 < restored["records"] < 40_000
    (stopped,) = again.lines("stop")
    assert stopped["events"] == 1_000
    verdict = Verifier(scene, [scene.bundle(seed)]).verify()
    assert (verdict.repeated, verdict.repeated_letters) == (0, 0)


def test_a_commit_that_did_not_get_through_is_made_up_for(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    scene = make_scene()
    fill(scene, seed, 2_000)
    caught_up(scene, start_worker(scene))
    scene.commit({tp: end - 10 for tp, end in scene.event_ends().items()})
    assert scene.lag() > 0
    again = start_worker(scene)
    caught_up(scene, again)
    assert [line["events"] for line in again.lines("stop")] == [0]


@pytest.mark.parametrize("interrupt", ["not", "stop", "kill"])
def test_new_features_rebuild_the_table_in_silence(
    make_scene: MakeScene, start_worker: StartWorker, seed: int, interrupt: str
) -> None:
    scene = make_scene(partitions=2, chunk_events_max=200)
    sources = fill(scene, seed, 10_000)
    caught_up(scene, start_worker(scene, "member"))
    Verifier(scene, [scene.bundle(seed)]).verify()
    since, old_changelog = scene.since(), scene.changelog
    send(scene.bootstrap, sources, scene.partitions, 1_000)

    scene.change(more=MORE_FEATURES)
    assert scene.changelog != old_changelog
    scene.promote(seed)
    if interrupt != "not":
        rebuilding = start_worker(scene, "member", SLOWLY).ready()
        rebuilding.wait_until(
            "has covered something", lambda: sum(scene.ends(scene.changelog)) > 600
        )
        assert {line["committed"] for line in rebuilding.lines("begin")} == set(
            since.decided.values()
        )
        rebuilding.stop() if interrupt == "stop" else rebuilding.kill()
        assert scene.committed() == since.decided
    rebuilt = start_worker(scene, "member")
    caught_up(scene, rebuilt)
    verdict = Verifier(scene, [scene.bundle(seed)], since).verify()
    assert verdict.events == 11_000
    assert 900 < verdict.decisions + verdict.letters == 1_000
    assert (verdict.repeated, verdict.repeated_letters) == (0, 0)


def test_records_of_every_kind_and_codec(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    scene, rng = make_scene(partitions=2), random.Random(seed)
    (topic,) = scene.topics
    events, sent = Events(topic, 50, seed, invalid_share=0), 0
    worker = start_worker(scene)
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        sender = producer(scene.bootstrap, **{"compression.type": codec})
        records = [events.next() for _ in range(700)]
        keys = [None, b"", b"\xff"]  # under a key no value is a tombstone, which gets no letter
        records += [
            (rng.choice(keys) if value is not None else None, value) for value in INVALID * 5
        ]
        rng.shuffle(records)
        for key, value in records:
            sender.produce(topic, value, key, partition_of(key, value, scene.partitions))
            sent += 1
        assert sender.flush(60) == 0
    caught_up(scene, worker)
    verdict = Verifier(scene, [scene.bundle(seed)]).verify()
    assert (verdict.events, verdict.letters) == (sent, 5 * 5 * len(INVALID))
    assert (verdict.repeated, verdict.repeated_letters) == (0, 0)


def test_only_what_a_transaction_has_committed_is_decided(
    make_scene: MakeScene, start_worker: StartWorker, topic_name: Callable[[str], str], seed: int
) -> None:
    scene, rng = make_scene(partitions=2), random.Random(seed)
    (topic,) = scene.topics
    events = Events(topic, 50, seed)
    worker = start_worker(scene).ready()
    sender = producer(
        scene.bootstrap,
        **{"transactional.id": topic_name("transactions"), "message.timeout.ms": 50_000},
    )
    sender.init_transactions(60)
    committed = 0
    for i in range(12):
        count, commit = rng.randrange(1, 300), i % 3 != 1
        sender.begin_transaction()
        for _ in range(count):
            key, value = events.next()
            sender.produce(topic, value, key, partition_of(key, value, scene.partitions))
        sender.flush(60)
        time.sleep(rng.uniform(0, 0.5))  # the end of a transaction is then often fetched alone
        sender.commit_transaction(60) if commit else sender.abort_transaction(60)
        committed += count if commit else 0
    caught_up(scene, worker)
    assert worker.lines("summary")[-1]["lag"] == 0
    verdict = Verifier(scene, [scene.bundle(seed)]).verify()
    assert verdict.events == committed == verdict.decisions + verdict.letters
    assert (verdict.repeated, verdict.repeated_letters) == (0, 0)


def test_a_new_champion_decides_from_one_event_to_the_next(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    scene = make_scene()
    first = scene.bundle(seed)
    worker = start_worker(scene).ready()
    with Load(scene.bootstrap, scene.topics, scene.partitions, 2_000, seed) as load:
        time.sleep(1)
        tampered = scene.bundle(seed + 1)
        scene.registry.publish(tampered)
        scene.point(tampered, damage=True)
        worker.wait_until("refuses", lambda: worker.lines("model_refused"))
        time.sleep(1)
        second = scene.bundle(seed + 2)
        scene.registry.publish(second)
        scene.point(second)
        worker.wait_until("loads", lambda: len(worker.lines("model_loaded")) == 2)
        time.sleep(1)
    caught_up(scene, worker)
    (refused,) = worker.lines("model_refused")
    assert tampered.manifest.version in refused["reason"]
    assert "sha256" in refused["reason"]
    verdict = Verifier(scene, [first, second]).verify()
    assert verdict.events == load.sent
    assert (verdict.repeated, verdict.repeated_letters) == (0, 0)
    assert set(verdict.models) == {first.manifest.version, second.manifest.version}
    assert min(verdict.models.values()) > 1_000
    assert_switches_once(scene)


def assert_switches_once(scene: Scene) -> None:
    """In every partition all decisions of the first model come before those of the second."""
    from tests.stream.worker.faults.fault_records import identity_of
    from tests.stream.worker.faults.fault_verifier import read

    for partition in range(scene.partitions):
        decisions = read(scene.bootstrap, scene.campaign.topics.decisions, partition)
        models = [identity_of(decision.value())[1] for decision in decisions]
        changes = [i for i in range(1, len(models)) if models[i] != models[i - 1]]
        assert len(changes) == 1, f"partition {partition}: the model changes at {changes}"
