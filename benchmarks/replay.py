"""Replay of the reference features: the training side of the reference job, without a broker.

Events of the reference job, as record chunks in memory and as a Parquet archive, are decoded, cut into
shards and replayed with the kernel of the worker, the features read after every event. One process.
"""

from __future__ import annotations

import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.errors import BenchmarkError
from benchmarks.options import json_option
from benchmarks.progress import Steps
from benchmarks.reference.input import generate
from benchmarks.report import environment, write_json
from stream.campaign.file import Campaign, load
from stream.columns import RecordChunk, Spans
from stream.features.plan import compile_features
from trainer.archive.folder import Archive
from trainer.archive.reader import ParquetSource
from trainer.archive.writer import Pending, flush
from trainer.history.source import EVERYTHING
from trainer.replay.shards import Shards
from trainer.replay.timeline import replay_blocks

_CAMPAIGN = Path(__file__).parent / "reference" / "opportune.toml"
_CHUNK_RECORDS = 4096
_FLUSH_RECORDS = 250_000
_BUCKETS = 8
_RECORD_MS = 1_900_000_000_000


@dataclass(frozen=True)
class Replayed:
    """One way from records to features.

    Attributes:
        events: Events replayed.
        take_in_s: Reading, decoding, cutting into shards.
        load_s: Loading shards, merging their topics.
        replay_s: The kernel, with all features of every event.
        checksum: Of all features.
    """

    events: int
    take_in_s: float
    load_s: float
    replay_s: float
    checksum: int

    @property
    def total_s(self) -> float:
        """From records to features."""
        return self.take_in_s + self.load_s + self.replay_s


def measure(campaign: Campaign, records: Iterable[RecordChunk], folder: Path) -> Replayed:
    """Replays records once."""
    plan = compile_features(campaign)
    started_s = time.perf_counter()
    shards = Shards(campaign, plan, folder, EVERYTHING)
    for chunk in records:
        shards.add(chunk)
    take_in_s = time.perf_counter() - started_s
    load_s = replay_s = 0.0
    checksum = 0
    for shard in shards.shards():
        started_s = time.perf_counter()
        timeline = shards.timeline(shard)
        loaded_s = time.perf_counter()
        blocks = list(replay_blocks(plan, timeline, np.arange(len(timeline))))
        replay_s += time.perf_counter() - loaded_s
        load_s += loaded_s - started_s
        for _, values in blocks:
            checksum = zlib.crc32(values.tobytes(), checksum)
    return Replayed(shards.events, take_in_s, load_s, replay_s, checksum)


def _chunks(topic: str, events: int, customers: int) -> Iterator[RecordChunk]:
    """The input of the reference job as one partition."""
    everything = generate(events, customers)
    for first in range(0, events, _CHUNK_RECORDS):
        part = list(everything.slice(first, first + _CHUNK_RECORDS).records())
        last = first + len(part)
        yield RecordChunk(
            topic=topic,
            partition=0,
            offset=np.arange(first, last),
            timestamp_ms=np.full(len(part), _RECORD_MS),
            key=Spans.of([key for key, _ in part]),
            value=Spans.of([value for _, value in part]),
            next_offset=last,
        )


def _archive(topic: str, records: list[RecordChunk], root: Path) -> int:
    """Archives the records as `opportune archive` does; returns the bytes of all files."""
    folder = Archive.open_or_create(root, _BUCKETS).topic(topic)
    pending = Pending(partition=0, first=0, next=0)
    size_bytes = 0
    with folder.lock("archive"):
        for chunk in records:
            pending.add(chunk, 0.0)
            if pending.records >= _FLUSH_RECORDS or chunk is records[-1]:
                size_bytes += flush(pending, folder).size_bytes
                pending.clear()
    return size_bytes


@click.command()
@click.option("--events", type=click.IntRange(1_000), default=1_000_000, show_default=True)
@click.option("--customers", type=click.IntRange(20), default=20_000, show_default=True)
@json_option
def replay(events: int, customers: int, json_file: Path | None) -> None:
    """Events a second that training replays, from memory and from a Parquet archive."""
    campaign = load(_CAMPAIGN)
    (topic,) = campaign.topics.events
    with tempfile.TemporaryDirectory(prefix="opportune-benchmark-") as name, Steps() as steps:
        folder = Path(name)
        with steps.step("Making events", events) as advance:
            records = []
            for chunk in _chunks(topic, events, customers):
                records.append(chunk)
                advance(len(chunk))
        with steps.step("Archiving"):
            archive_bytes = _archive(topic, records, folder / "archive")
        with steps.step("Compiling"):
            measure(campaign, records[:1], folder)
        with steps.step("Replaying from memory"):
            memory = measure(campaign, records, folder)
        with steps.step("Replaying from Parquet"):
            source = ParquetSource(folder / "archive")
            parquet = measure(campaign, source.chunks([topic]), folder)
    _print(memory, parquet, archive_bytes)
    if json_file is not None:
        ways = {"memory": memory, "parquet": parquet}
        figures = {name: _figures(way) for name, way in ways.items()}
        write_json(json_file, figures | {"archive_bytes": archive_bytes} | environment())
    if (memory.events, memory.checksum) != (parquet.events, parquet.checksum):
        raise BenchmarkError(f"expected the same features from both, got {memory} and {parquet}")


def _figures(way: Replayed) -> dict[str, Any]:
    return {
        "events": way.events,
        "replayed_per_second": round(way.events / way.replay_s),
        "events_per_second": round(way.events / way.total_s),
        "take_in_ns": round(way.take_in_s / way.events * 1e9),
        "load_ns": round(way.load_s / way.events * 1e9),
        "replay_ns": round(way.replay_s / way.events * 1e9),
    }


def _print(memory: Replayed, parquet: Replayed, archive_bytes: int) -> None:
    table = Table("", "from memory", "from Parquet", title="Replay of the reference features")
    ways = [_figures(way) for way in (memory, parquet)]
    for name, title in (
        ("replayed_per_second", "events replayed a second"),
        ("events_per_second", "events a second, from records to features"),
        ("take_in_ns", "read, decode, cut into shards: ns an event"),
        ("load_ns", "load shards: ns an event"),
        ("replay_ns", "replay: ns an event"),
    ):
        table.add_row(title, *(f"{way[name]:,}" for way in ways))
    for column in table.columns[1:]:
        column.justify = "right"
    console = Console()
    console.print(table)
    console.print(
        f"{memory.events:,} events; the archive has {archive_bytes / memory.events:.1f} bytes an event"
    )
