"""Event topics from an archive, and from Kafka what is not in it yet.

Decisions come from Kafka alone: an archive holds event topics.

Rules of this file
1. What an archive holds of a partition is read from it, what comes after from Kafka. Between the two
   nothing may be missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stream.columns import RecordChunk
from stream.kafka.skip_list import ReadRules
from trainer.archive.folder import Archive
from trainer.archive.reader import ParquetSource
from trainer.errors import TrainingError
from trainer.history.gaps import SKIPPED, Gap
from trainer.history.source import Bounds
from trainer.history.topics import Extent
from trainer.parity.partition_reader import Topics

_NO_RULES = ReadRules()
_NOTHING = Extent(0, 0)


class ArchivedTopics:
    """Stands in the place of `Topics`.

    Args:
        topics: Kafka.
        root: Folder of the archive, a local path or an fsspec URL.
        names: The event topics.
        rules: The skip list, which an archive may be older than.
        headers: As of `ParquetSource`.

    Raises:
        TrainingError: There is no archive.
    """

    def __init__(
        self,
        topics: Topics,
        root: str,
        names: Sequence[str],
        rules: ReadRules = _NO_RULES,
        headers: Sequence[str] = (),
    ) -> None:
        self._rules, self._headers = rules, headers
        self._topics = topics
        self._root = root
        self._archive = Archive.open(root)
        self._names = names
        self._held: dict[tuple[str, int], Extent] = {}

    def extents(self, topic: str) -> dict[int, Extent]:
        """What archive and Kafka together hold of each partition of a topic now.

        Raises:
            TrainingError: The topic is missing in Kafka or, an event topic, in the archive; or Kafka
                has removed records that were never archived.
        """
        found = self._topics.extents(topic)
        if topic not in self._names:
            return found
        chains = self._archive.topic(topic).survey().flushes
        if not chains:
            raise TrainingError(
                f"expected the topic {topic} in {self._root}, got nothing of it. Archive it with "
                "`opportune archive`, or leave out --archive"
            )
        for partition, chain in chains.items():
            held = Extent(chain[0].first, max(flush.next for flush in chain))
            found[partition] = self._joined(topic, partition, held, found.get(partition, _NOTHING))
            self._held[topic, partition] = held
        return found

    def _joined(self, topic: str, partition: int, held: Extent, kafka: Extent) -> Extent:
        if kafka.begin > held.end:
            raise TrainingError(
                f"expected {topic}/{partition} in Kafka from offset {held.end} on, where the archive "
                f"{self._root} ends, got {kafka.begin}: what is between was removed before it was "
                "archived. Leave out --archive, or archive the topic more often than its retention"
            )
        both = Extent(held.begin, max(held.end, kafka.end))
        self._topics.count(total=both.end - both.begin - (kafka.end - kafka.begin))
        return both

    def extents_if_there(self, topic: str) -> dict[int, Extent]:
        """What Kafka holds of a topic that is not archived and need not be there."""
        return self._topics.extents_if_there(topic)

    def archived(self, topic: str, partition: int) -> int:
        """Offset before which events come from the archive, 0 when none do."""
        return self._held.get((topic, partition), _NOTHING).end

    def chunks(self, topic: str, partition: int, extent: Extent) -> Iterator[RecordChunk]:
        """The chunks of a partition, in the order of offsets; a `Gap` where records are missing."""
        begin, end = self._held.get((topic, partition), Extent(extent.begin, extent.begin))
        if begin < end:
            position = begin
            bounds = Bounds(offsets={topic: {partition: (begin, end)}})
            source = ParquetSource(
                self._root, bounds, tells_gaps=True, rules=self._rules, headers=self._headers
            )
            for chunk in source.chunks([topic]):
                is_of_this = chunk.partition == partition
                if isinstance(chunk, Gap):
                    is_inside = begin <= chunk.next_offset < end
                    if is_of_this and is_inside and chunk.why != SKIPPED:  # as the worker has it
                        yield chunk
                elif is_of_this:
                    yield chunk
                    self._topics.count(done=chunk.next_offset - position)
                    position = chunk.next_offset
        yield from self._topics.chunks(topic, partition, Extent(end, max(end, extent.end)))
