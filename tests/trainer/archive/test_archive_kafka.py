"""Archiving topics of a real broker, killed and started again."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AdminClient, NewPartitions

from tests.conftest import CreateTopics, KafkaCluster
from tests.kafka_client import remove_before, send
from tests.stream.worker.faults.fault_load import Load
from tests.trainer.archive.archive_harness import ROOT, Record, made, read
from trainer.archive.archiver import Archiver, Limits
from trainer.archive.folder import Archive

CAMPAIGN = """
app = "shop"
[topics]
events = ["{0}"]
decisions = "{1}"
[[features]]
op = "count"
half_lives = ["5d"]
[[strategies]]
id = "mail"
"""


class Process:
    """`opportune archive` as a process, with its log in a file."""

    def __init__(self, folder: Path, bootstrap: str, *arguments: str) -> None:
        self._log = folder / f"{uuid.uuid4().hex}.log"
        program = "from trainer.commands.archive import archive; archive()"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-c", program, str(folder / "opportune.toml"),
                    "--to", str(folder / "archive"), "--bootstrap", bootstrap,
                    "--log-format", "json", *arguments,
                ],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def text(self) -> str:
        return self._log.read_text()

    def lines(self, evt: str) -> list[dict[str, Any]]:
        whole = self.text().rpartition("\n")[0].splitlines()
        found = [json.loads(line) for line in whole if line.startswith("{")]
        return [line for line in found if line["evt"] == evt]

    def wait_for(self, evt: str, count: int = 1) -> None:
        until_s = time.monotonic() + 90
        while len(self.lines(evt)) < count:
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < until_s, self.text()
            time.sleep(0.02)

    def end(self, signal_number: int | None = None) -> int:
        if signal_number is not None:
            self.process.send_signal(signal_number)
        return self.process.wait(90)


@pytest.fixture
def start(
    tmp_path: Path,
    kafka: KafkaCluster,
    create_topics: CreateTopics,
    topic_name: Callable[[str], str],
) -> Iterator[tuple[list[str], Callable[..., Process]]]:
    """An event topic and a decision topic of two partitions, and a function that archives them."""
    names = [topic_name("events"), topic_name("decisions")]
    create_topics(dict.fromkeys(names, 2))
    (tmp_path / "opportune.toml").write_text(CAMPAIGN.format(*names))
    started: list[Process] = []

    def run(*arguments: str) -> Process:
        started.append(Process(tmp_path, kafka.bootstrap, *arguments))
        return started[-1]

    yield names, run
    for process in started:
        process.process.kill()
        process.process.wait()


def held_by(bootstrap: str, topics: Sequence[str]) -> dict[tuple[str, int], list[Record]]:
    """What Kafka holds of two partitions of each topic, read by another client."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "x", "enable.partition.eof": True}
    )
    places = [Place(topic, partition, OFFSET_BEGINNING) for topic in topics for partition in (0, 1)]
    consumer.assign(places)
    found: dict[tuple[str, int], list[Record]] = defaultdict(list)
    ended = 0
    while ended < len(places):
        message = consumer.poll(30)
        assert message is not None
        if error := message.error():
            assert error.code() == KafkaError._PARTITION_EOF
            ended += 1
        else:
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            assert topic is not None
            assert partition is not None
            assert offset is not None
            row = (offset, message.timestamp()[1], message.key(), message.value())
            found[topic, partition].append(row)
    consumer.close()
    return dict(found)


def produce(bootstrap: str, topic: str, records: Sequence[Record]) -> None:
    """Sends to both partitions of a topic."""
    rows = [(topic, partition, *record) for record in records for partition in (0, 1)]
    send(bootstrap, rows, **{"compression.type": "zstd"})


@pytest.mark.kafka
def test_once_archives_what_kafka_holds_and_goes_on(
    kafka: KafkaCluster, tmp_path: Path, start: tuple[list[str], Callable[..., Process]]
) -> None:
    names, run = start
    produce(kafka.bootstrap, names[0], made(50))
    produce(kafka.bootstrap, names[1], made(20))
    first = run("--once", "--buckets", "3", "--flush-records", "30")
    assert first.end() == 0, first.text()
    assert "140 records in " in first.text()
    assert read(tmp_path / "archive") == held_by(kafka.bootstrap, names)
    before = read(tmp_path / "archive")

    produce(kafka.bootstrap, names[0], made(10))
    remove_before(kafka.bootstrap, names[0], 1, 55)
    second = run("--once", "--topic", names[0])
    assert second.end() == 0, second.text()
    assert "15 records in " in second.text()
    (lost,) = second.lines("lost")
    assert (lost["partition"], lost["first"], lost["next"]) == (1, 50, 55)
    after = read(tmp_path / "archive")
    held = held_by(kafka.bootstrap, names)
    assert after[names[0], 0] == held[names[0], 0]
    assert after[names[0], 1] == before[names[0], 1] + held[names[0], 1]


@pytest.mark.kafka
@pytest.mark.slow
def test_killed_under_load_it_archives_every_record_once(
    kafka: KafkaCluster,
    tmp_path: Path,
    start: tuple[list[str], Callable[..., Process]],
    seed: int,
) -> None:
    names, run = start
    often = ("--flush-s", "0.2", "--flush-records", "400", "--buckets", "4")
    with Load(kafka.bootstrap, names, 2, rate=3_000, seed=seed):
        for kill in range(3):
            process = run(*often)
            process.wait_for("archived", 2 + kill)
            time.sleep(random.Random(seed + kill).random() / 5)
            assert process.end(signal.SIGKILL) == -signal.SIGKILL
        last = run(*often)
        last.wait_for("archived", 3)
        other = run(*often)
        assert other.end() != 0
        assert f"pid {last.process.pid}, since" in other.text()
    assert last.end(signal.SIGTERM) == 0
    (stop,) = last.lines("stop")
    assert stop["records"] > 0
    assert last.lines("archived")[-1]["mb"] > 0
    once = run("--once")
    assert once.end() == 0, once.text()
    assert read(tmp_path / "archive") == held_by(kafka.bootstrap, names)


@pytest.mark.kafka
def test_following_takes_up_new_partitions_and_writes_what_waits_when_it_stops(
    kafka: KafkaCluster,
    tmp_path: Path,
    create_topics: CreateTopics,
    topic_name: Callable[[str], str],
) -> None:
    name = topic_name("events")
    create_topics({name: 1})
    archive = Archive.open_or_create(tmp_path, 2)
    limits = Limits(1_000, age_s=600.0, size_bytes=1 << 30)
    archiver = Archiver(archive, kafka.bootstrap, [name], limits, follow=True)

    async def follow() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(archiver.run(stop))
        while not archiver._pending:  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.05)
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        for grown in admin.create_partitions([NewPartitions(name, 2)]).values():
            await asyncio.to_thread(grown.result, 30)
        await asyncio.to_thread(produce, kafka.bootstrap, name, made(20))
        while sum(pending.records for pending in archiver._pending.values()) < 40:
            await archiver._reader._connected()._client.force_metadata_update()
            await asyncio.sleep(0.05)
        assert archiver._summary.files == 0
        stop.set()
        summary = await running
        assert (summary.records, summary.complete) == (40, False)

    asyncio.run(asyncio.wait_for(follow(), 60))
    assert read(tmp_path) == held_by(kafka.bootstrap, [name])
