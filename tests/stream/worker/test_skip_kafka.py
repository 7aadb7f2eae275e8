"""A batch that nobody can read, on a real broker: refused with its offsets, then skipped by all."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crc32c
import pytest
from confluent_kafka import Producer

from stream.broker import EmbeddedKafka
from stream.kafka.batch_checks import CorruptRecords
from stream.kafka.skip_list import ReadRules
from tests.conftest import FAST_START, MakeScene
from tests.stream.worker.faults.fault_harness import Scene
from tests.stream.worker.faults.fault_verifier import read
from tests.stream.worker.faults.fault_worker import Worker
from trainer.archive.archiver import Archiver, Limits
from trainer.archive.folder import Archive
from trainer.archive.reader import ParquetSource
from trainer.history.gaps import SKIPPED, Gap
from trainer.history.source import KafkaSource

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

BATCH = 10  # events of a batch; the second of three is broken
SKIP = "from = 10, to = 19"


def produce(scene: Scene) -> None:
    """Three batches of ten events each, as one producer sends them."""
    producer = Producer({"bootstrap.servers": scene.bootstrap, "linger.ms": 2_000})
    for batch in range(3):
        for i in range(BATCH):
            event = {
                "type": "track", "event": "Product Viewed", "userId": f"c{i}",
                "timestamp": "2026-01-01T00:00:00Z", "messageId": f"{batch}-{i}",
                "properties": {"category": "shoes"},
            }  # fmt: skip
            producer.produce(scene.topics[0], json.dumps(event).encode(), f"c{i}".encode())
        producer.flush(30)


def break_second_batch(segment: Path) -> None:
    """Makes a record of it longer than the batch; the checksum is right."""
    data = bytearray(segment.read_bytes())
    first = 12 + int.from_bytes(data[8:12], "big")
    second = first + 12 + int.from_bytes(data[first + 8 : first + 12], "big")
    assert int.from_bytes(data[first : first + 8], "big") == BATCH, "one batch for each flush"
    data[first + 61] ^= 0x40  # the length of its first record
    data[first + 17 : first + 21] = crc32c.crc32c(bytes(data[first + 21 : second])).to_bytes(
        4, "big"
    )
    segment.write_bytes(data)


def refused(worker: Worker) -> str:
    """Why a worker has ended, with the exit code of an operator's error."""
    assert worker.ended() == 2, worker.tail()
    (line,) = worker.lines("refused")
    assert not worker.lines("crash"), worker.tail()
    assert "Traceback" not in worker.log.read_text()
    return str(line["reason"])


async def archived(scene: Scene, root: Path) -> None:
    archive = Archive.open_or_create(root, 2)
    rules = ReadRules.of(scene.campaign)
    limits = Limits(1_000, 1.0, 1 << 20)
    topics = list(scene.topics)
    archiver = Archiver(archive, scene.bootstrap, topics, limits, follow=False, rules=rules)
    await archiver.run(asyncio.Event())


def test_a_broken_batch_is_refused_and_then_skipped_by_everybody(
    tmp_path: Path,
    make_scene: MakeScene,
    start_worker: Callable[..., Worker],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with EmbeddedKafka(data_dir=tmp_path / "kafka", jvm_flags=FAST_START) as broker:
        scene = make_scene(partitions=1, broker=broker)
        topic = scene.topics[0]
        produce(scene)
        broker.stop()
        (segment,) = (tmp_path / "kafka").rglob(f"{topic}-0/*.log")
        break_second_batch(segment)
        broker.start()
        scene.bootstrap = broker.bootstrap

        reason = refused(start_worker(scene))
        place = f"topic = '{topic}', partition = 0, {SKIP}"
        assert reason.startswith(f"{topic}/0: expected records of format v2"), reason
        assert "at offset 10 (the batch ends with offset 19)" in reason
        assert reason.endswith(f"skip = [{{ {place} }}]"), reason
        with pytest.raises(CorruptRecords, match=f"{topic}/0: .* at offset 10 "):
            list(KafkaSource(scene.bootstrap).chunks([topic]))
        with pytest.raises(CorruptRecords):
            asyncio.run(archived(scene, tmp_path / "refused"))
        # What came before the broken batch is decided all the same.
        line = reason.rpartition(": ")[2]
        scene.file.write_text(
            scene.file.read_text().replace("topics = { ", f"topics = {{ {line}, ", 1)
        )
        worker = start_worker(scene)
        worker.wait_until("decides the rest", lambda: scene.lag() == 0)
        assert [(one["from"], one["to"]) for one in worker.lines("skip")] == [(10, 19)]
        assert {(one["from"], one["to"], one["records"]) for one in worker.lines("skipped")} == {
            (10, 19, BATCH)
        }
        assert worker.stop() == 0, worker.tail()
        assert worker.lines("stop")[0]["skipped"] >= BATCH
        assert sum(line["skipped"] for line in worker.lines("summary")) >= BATCH
        expect_both_ends_decided(scene)

        caplog.set_level(logging.WARNING, "opportune")
        rules = ReadRules.of(scene.campaign)
        expect_both_ends(KafkaSource(scene.bootstrap, tells_gaps=True, rules=rules), topic)
        assert "skipped" in caplog.text
        asyncio.run(archived(scene, tmp_path / "archive"))
        expect_both_ends(ParquetSource(tmp_path / "archive", tells_gaps=True), topic)


def expect_both_ends_decided(scene: Scene) -> None:
    """The refused worker may have published what came before the broken batch: that is there twice then."""
    decided = read(scene.bootstrap, scene.campaign.topics.decisions, 0)
    ids = [json.loads(one.value() or b"")["event_id"] for one in decided]
    assert set(ids) == {f"{batch}-{i}" for batch in (0, 2) for i in range(BATCH)}
    assert sum(one.startswith("2-") for one in ids) == BATCH


def expect_both_ends(source: Any, topic: str) -> None:
    """The first and the last batch, and between them a gap that is told."""
    chunks = list(source.chunks([topic]))
    offsets = [offset for chunk in chunks for offset in chunk.offset.tolist()]
    assert offsets == [*range(10), *range(20, 30)]
    (gap,) = [chunk for chunk in chunks if isinstance(chunk, Gap) and chunk.why == SKIPPED]
    assert (gap.next_offset, gap.until) == (10, 20)
    (at,) = [i for i, chunk in enumerate(chunks) if chunk is gap]
    assert [offset for chunk in chunks[:at] for offset in chunk.offset.tolist()] == [*range(10)]
