"""An event topic that is not the one the state has seen: told, refused, and accepted by the campaign file."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from confluent_kafka import KafkaException, Message
from confluent_kafka.admin import AdminClient

from stream.broker import EmbeddedKafka
from stream.features.plan import compile_features
from stream.pipeline import Deployment, Pipeline
from stream.policy.choice import Policy
from stream.scoring.scorer import Scorer
from stream.state import changelog
from stream.state.marker import MARKER_KEY
from stream.state.table import CustomerTable
from tests.conftest import CreateTopics, MakeScene
from tests.stream.worker.faults.fault_harness import Scene
from tests.stream.worker.faults.fault_load import Events, send
from tests.stream.worker.faults.fault_order import chunk_of
from tests.stream.worker.faults.fault_verifier import NOW_MS, newest_rows, read
from tests.stream.worker.faults.fault_worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]

PARTITIONS = 2
BEFORE = 300
StartWorker = Callable[..., Worker]


def fill(scene: Scene, name: str, count: int) -> None:
    """Sends events whose ids begin with a name."""
    source = Events(name, customers=40, seed=7, invalid_share=0.0)
    send(scene.bootstrap, [(scene.topics[0], source)], PARTITIONS, count)


def recreate(scene: Scene, create_topics: CreateTopics) -> None:
    """Deletes the event topic and creates another of its name."""
    (topic,) = scene.topics
    admin = AdminClient({"bootstrap.servers": scene.bootstrap})
    admin.delete_topics([topic], operation_timeout=20)[topic].result(timeout=30)
    until_s = time.monotonic() + 30
    while True:
        try:
            create_topics({topic: PARTITIONS}, bootstrap=scene.bootstrap)
        except KafkaException:  # it is still being deleted
            assert time.monotonic() < until_s
            time.sleep(0.1)
        else:
            return


def accept(scene: Scene, reason: str) -> None:
    """Pastes what the message says into the campaign file."""
    anew = re.search(r"`(anew = \[.*?\])`", reason)
    assert anew, reason
    text = re.sub(r"anew = \[.*?\], ", "", scene.file.read_text())
    scene.file.write_text(text.replace("topics = { ", f"topics = {{ {anew[1]}, "))


def events(scene: Scene) -> list[list[Message]]:
    return [read(scene.bootstrap, scene.topics[0], p) for p in range(PARTITIONS)]


def decided(scene: Scene, since: dict[int, int] | None = None) -> Counter[str]:
    """How often each event was decided: by its id, or where it stands if it has none."""
    topic = scene.campaign.topics.decisions
    log = [
        m
        for p in range(PARTITIONS)
        for m in read(scene.bootstrap, topic, p, (since or {}).get(p, 0))
    ]
    return Counter(msgspec.json.decode(message.value() or b"")["decision_id"] for message in log)


def rows(scene: Scene, seed: int, *logs: list[list[Message]]) -> dict[bytes, bytes]:
    """What the rows have to be after the events of one topic, and then of the next, as accepted."""
    campaign = scene.campaign
    found: dict[bytes, bytes] = {}
    plan = compile_features(campaign)
    scorer = Scorer(scene.bundle(seed))
    deployment = Deployment(scorer, Policy(campaign, scorer.head, scorer.strategies))
    unaccepted = msgspec.structs.replace(
        campaign, topics=msgspec.structs.replace(campaign.topics, anew=())
    )
    for partition in range(PARTITIONS):
        table = CustomerTable(plan.row_words)
        for log, settings in zip(logs, (unaccepted, campaign), strict=True):
            if log[partition]:
                chunk = chunk_of(scene.topics[0], partition, log[partition])
                pipeline = Pipeline(settings, plan)
                pipeline.step(chunk, table, deployment, silent_until=0, now_ms=NOW_MS)
        keys, values = changelog.encode_rows(table, np.arange(table.rows))
        found |= {keys[i] or b"": values[i] or b"" for i in range(table.rows)}
    return found


def caught_up(scene: Scene, worker: Worker) -> None:
    worker.wait_until("lag 0", lambda: scene.lag() == 0)


def refused(worker: Worker) -> str:
    """The one reason that it gives as it ends."""
    assert worker.ended() == 2, worker.tail()
    (line,) = worker.lines("refused")
    assert not worker.lines("crash")
    return str(line["reason"])


def ids(reason: str) -> tuple[str, str]:
    """The id of the topic that is there, and of the one before."""
    found = re.search(r"with the id (\S+) that .* the id was (\S+)\.", reason)
    assert found, reason
    return found[1], found[2]


@pytest.mark.parametrize("count", [100, 900])
def test_a_topic_created_anew_ends_workers_until_it_is_accepted(
    make_scene: MakeScene, start_worker: StartWorker, create_topics: CreateTopics, seed: int,
    count: int,
) -> None:  # fmt: skip
    scene = make_scene(partitions=PARTITIONS)
    fill(scene, "before", BEFORE)
    worker = start_worker(scene).ready()
    caught_up(scene, worker)
    old, before = events(scene), decided(scene)
    worker.pause()  # it sees only what has become of the topic
    recreate(scene, create_topics)
    fill(scene, "after", count)
    worker.resume()
    assert re.search("deleted and created", refused(worker))
    assert decided(scene) == before

    reason = refused(start_worker(scene))
    now, was = ids(reason)
    assert now != was
    assert re.search(r"go on at offset \d+, got .*holds the offsets 0 to \d+", reason)
    assert decided(scene) == before

    accept(scene, reason)
    worker = start_worker(scene).ready()
    worker.wait_until("both told", lambda: len(worker.lines("anew")) >= PARTITIONS)
    told = worker.lines("anew")
    assert sorted(line["tp"] for line in told) == [f"{scene.topics[0]}/{p}" for p in range(2)]
    assert {(line["id"], line["id_before"], line["epoch"]) for line in told} == {(now, was, 1)}
    caught_up(scene, worker)
    assert worker.stop() == 0
    new = events(scene)
    assert sum(map(len, new)) == count
    assert scene.committed() == scene.event_ends()
    fresh = decided(scene) - before
    assert sum(fresh.values()) == count
    assert len(fresh) == count
    left = newest_rows(scene, 0) | newest_rows(scene, 1)
    del left[MARKER_KEY]
    assert left == rows(scene, seed, old, new)

    if count > BEFORE:
        return
    again = start_worker(scene).ready()  # accepted once is accepted: nothing begins again
    fill(scene, "later", 50)
    caught_up(scene, again)
    assert again.stop() == 0
    assert not again.lines("anew")
    assert sum(decided(scene).values()) == sum(before.values()) + count + 50
    assert max(decided(scene).values()) == 1


def cut(broker: EmbeddedKafka, topic: str, share: float) -> None:
    """Takes the end of the logs of a topic away, as a disk that came back older."""
    for log in broker.data_dir.rglob(f"{topic}-*/00000000000000000000.log"):
        data, at, keep = log.read_bytes(), 0, 0
        while at < len(data):
            at += 12 + int.from_bytes(data[at + 8 : at + 12], "big")
            keep = at if at <= share * len(data) else keep
        log.write_bytes(data[:keep])
        for index in log.parent.glob("00000000000000000000.*index"):
            index.unlink()
        for snapshot in log.parent.glob("*.snapshot"):
            snapshot.unlink()


def ends_after_start(scene: Scene) -> dict[tuple[str, int], int]:
    """The ends of the logs, once the broker has taken them up again."""
    until_s = time.monotonic() + 60
    while True:
        try:
            return scene.event_ends()
        except KafkaException:
            assert time.monotonic() < until_s
            time.sleep(0.2)


@pytest.mark.parametrize("more", [0, 900])
def test_a_log_that_was_cut_back_is_refused_until_it_is_accepted(
    own_kafka: EmbeddedKafka, make_scene: MakeScene, start_worker: StartWorker, more: int
) -> None:
    scene = make_scene(partitions=PARTITIONS, broker=own_kafka)
    for part in range(6):
        fill(scene, f"before-{part}", 50)
    worker = start_worker(scene).ready()
    caught_up(scene, worker)
    assert worker.stop() == 0
    before, seen = decided(scene), scene.event_ends()
    own_kafka.kill()
    cut(own_kafka, scene.topics[0], 0.5)
    own_kafka.start()
    left = ends_after_start(scene)
    assert all(0 < left[tp] < seen[tp] for tp in seen), (left, seen)
    fill(scene, "after", more)

    reason = refused(start_worker(scene))
    assert f"go on at offset {seen[scene.topics[0], 0]}" in reason
    assert "cut back" in reason
    assert ("written on" in reason) == bool(more)

    accept(scene, reason)
    worker = start_worker(scene)
    worker.wait_until("has both", lambda: len(worker.lines("begin")) == PARTITIONS)
    told = {line["tp"]: line["offset"] for line in worker.lines("anew")}
    assert told == {f"{topic}/{p}": end for (topic, p), end in left.items()}
    fill(scene, "later", 50)
    caught_up(scene, worker)
    assert worker.stop() == 0
    assert sum((decided(scene) - before).values()) == more + 50
    assert max(decided(scene).values()) == 1
