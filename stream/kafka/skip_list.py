"""What a reader of Kafka records takes in: how much memory a fetch may unpack to, and the skip list.

A batch that cannot be read stops whoever reads it, since nothing is stepped over in silence. The skip
list of the campaign file is the way on: it names offsets that nobody reads any more. Every reader of
a topic is a `stream.kafka.records.RecordReader`, which applies these rules, or reads an archive, which
applies `without_skipped`: worker, trainer, archive and parity see the same records. Which batches of a
fetch that steps over: `stream.kafka.batch_choice`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from stream.campaign.file import Campaign
from stream.columns import Bools, Int64s, RecordChunk

Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""Offsets [from, until) that are left out, rising, with offsets between them."""

_UNPACKED_PER_FETCHED = 16
_UNPACKED_BYTES_MIN, _UNPACKED_BYTES_MAX = 16 << 20, 1 << 30


def unpacked_bytes_max(fetch_bytes_max: int) -> int:
    """What a fetch may unpack to when the campaign does not say.

    JSON of events compresses to a fifth or, repetitive, to a fifteenth, so that sixteen times a whole
    fetch leaves honest batches alone. Not less than 16 MiB: a batch may be larger than the fetch.
    """
    wanted = _UNPACKED_PER_FETCHED * fetch_bytes_max
    return min(max(wanted, _UNPACKED_BYTES_MIN), _UNPACKED_BYTES_MAX)


@dataclass(frozen=True, slots=True)
class Skipped:
    """Records that were left out because the skip list names them.

    Attributes:
        topic: Topic of the records.
        partition: Its partition.
        first: First offset that was left out.
        last: Last offset that was left out.
        records: How many records; of a batch that cannot be read what its header says.
    """

    topic: str
    partition: int
    first: int
    last: int
    records: int


@dataclass(frozen=True, slots=True)
class ReadRules:
    """What every reader of a campaign's topics keeps to.

    Attributes:
        unpacked_bytes_max: Most bytes that the compressed batches of one fetch of a partition unpack
            to.
        skips: Offsets that are left out, by topic and partition.
        topics: The topics that the skip list may name; empty for any.
    """

    unpacked_bytes_max: int = unpacked_bytes_max(4 << 20)
    skips: Mapping[tuple[str, int], Ranges] = field(default_factory=dict)
    topics: frozenset[str] = field(default=frozenset(), compare=False)

    @classmethod
    def of(cls, campaign: Campaign) -> ReadRules:
        """The rules of a campaign."""
        worker, topics = campaign.worker, campaign.topics
        named: dict[tuple[str, int], list[tuple[int, int]]] = {}
        for skip in topics.skip:
            named.setdefault((skip.topic, skip.partition), []).append((skip.first, skip.last + 1))
        return cls(
            worker.unpacked_bytes_max or unpacked_bytes_max(worker.fetch_bytes_max),
            {place: merged(ranges) for place, ranges in named.items()},
            frozenset(topics.named),
        )

    def ranges(self, topic: str, partition: int) -> Ranges:
        """What is left out of a partition."""
        return self.skips.get((topic, partition), ())

    def line_with(self, topic: str, partition: int, first: int, last: int) -> str:
        """The line of the campaign file that skips some offsets beside those it skips already."""
        place = (topic, partition)
        skips = {**self.skips, place: merged([*self.ranges(*place), (first, last + 1)])}
        tables = [
            f"{{ topic = '{name}', partition = {number}, from = {start}, to = {until - 1} }}"
            for (name, number), ranges in sorted(skips.items())
            for start, until in ranges
        ]
        return f"skip = [{', '.join(tables)}]"


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The same offsets in as few ranges as they take, rising."""
    out: list[tuple[int, int]] = []
    for start, until in sorted(ranges):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(until, out[-1][1]))
        else:
            out.append((start, until))
    return tuple(out)


def resumed(ranges: Ranges, offset: int) -> int:
    """The first offset from `offset` on that is not left out."""
    return next((until for start, until in ranges if start <= offset < until), offset)


def within(ranges: Iterable[tuple[int, int]], start: int, until: int) -> Iterator[tuple[int, int]]:
    """The parts of the ranges that are offsets of [start, until)."""
    for low, high in ranges:
        if low < until and high > start:
            yield max(low, start), min(high, until)


def is_kept(ranges: Ranges, offset: Int64s) -> Bools:
    """Which offsets are not left out. Shape (n,), bool."""
    kept = np.ones(len(offset), np.bool_)
    for start, until in ranges:
        kept &= (offset < start) | (offset >= until)
    return kept


def without_skipped(chunk: RecordChunk, ranges: Ranges) -> RecordChunk:
    """A chunk without the records that are left out."""
    kept = is_kept(ranges, chunk.offset)
    if kept.all():
        return chunk
    index = np.flatnonzero(kept)
    return replace(
        chunk,
        offset=chunk.offset[index],
        timestamp_ms=chunk.timestamp_ms[index],
        key=chunk.key.take(index),
        value=chunk.value.take(index),
        headers=None if chunk.headers is None else chunk.headers.take(index),
    )
