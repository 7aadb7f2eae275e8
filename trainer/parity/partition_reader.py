"""Single partitions of topics, each read from beginning to end, those of several topics on demand.

Rules of this file
1. Where a partition begins and ends is asked once, before it is read.
2. A topic has a consumer of its own, and only what an iterator is asked for is read: whoever merges
   topics decides which is to go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from aiokafka.structs import TopicPartition

from stream.columns import RecordChunk, split
from stream.kafka.skip_list import ReadRules
from trainer.errors import TrainingError
from trainer.history.source import OnRecords
from trainer.history.topics import Extent, Removed, TopicReader, broker_errors

_STALLED_S = 60.0
_NO_RULES = ReadRules()


@contextmanager
def open_topics(
    bootstrap: str,
    topics: Sequence[str],
    on_records: OnRecords | None = None,
    rules: ReadRules = _NO_RULES,
) -> Iterator[Topics]:
    """Connects to a cluster, for a `with` block.

    Args:
        bootstrap: Kafka address.
        topics: The topics that will be read.
        on_records: Told how many offsets were read so far, and how many there are in the partitions
            whose extents were asked for.
        rules: Bound of what is unpacked, and the skip list.

    Raises:
        TrainingError: The broker cannot be reached, a topic is missing, or holds no more what is
            read; also raised out of the block.
    """
    readers = {topic: TopicReader(bootstrap, _STALLED_S, rules) for topic in topics}
    with asyncio.Runner() as runner, broker_errors(bootstrap):
        # Not `runner.run`: it puts what the last call returned into words, all arrays of its chunks.
        run = runner.get_loop().run_until_complete
        try:
            for reader in readers.values():
                run(reader.open())
            yield Topics(run, readers, on_records)
        except Removed as exc:
            raise TrainingError(
                f"{exc}. Retention was faster than this reading: run it again, and give the topics "
                "more retention"
            ) from exc
        finally:
            for reader in readers.values():
                run(reader.close())


class Topics:
    """Topics to be read; `open_topics` makes it."""

    def __init__(
        self,
        run: Callable[[Coroutine[Any, Any, Any]], Any],
        readers: dict[str, TopicReader],
        on_records: OnRecords | None,
    ) -> None:
        self._run = run
        self._readers = readers
        self._on_records = on_records or (lambda _done, _total: None)
        self._done = self._total = 0

    def extents(self, topic: str) -> dict[int, Extent]:
        """What each partition of a topic holds now.

        Raises:
            TrainingError: The topic is missing.
        """
        found: dict[int, Extent] = self._run(self._extents(topic))
        self._total += sum(extent.end - extent.begin for extent in found.values())
        return found

    def extents_if_there(self, topic: str) -> dict[int, Extent]:
        """The same, and nothing of a topic that is not there."""
        found: dict[int, Extent] = self._run(self._extents_if_there(topic))
        return found

    async def _extents_if_there(self, topic: str) -> dict[int, Extent]:
        there = await self._readers[topic].has(topic)
        return await self._extents(topic) if there else {}

    async def _extents(self, topic: str) -> dict[int, Extent]:
        reader = self._readers[topic]
        found = await reader.extents(await reader.partitions([topic]))
        return {tp.partition: extent for tp, extent in found.items()}

    def archived(self, topic: str, partition: int) -> int:
        """Offset before which events come from an archive: none do."""
        return 0

    def count(self, done: int = 0, total: int = 0) -> None:
        """Adds offsets that are read elsewhere to the progress."""
        self._done += done
        self._total += total
        self._on_records(self._done, self._total)

    def chunks(self, topic: str, partition: int, extent: Extent) -> Iterator[RecordChunk]:
        """The chunks of a partition, in the order of offsets; ends the topic's iterator before it."""
        if extent.begin == extent.end:
            return
        tp, reader, position = TopicPartition(topic, partition), self._readers[topic], extent.begin
        self._run(self._begin(reader, tp, position))
        while position < extent.end:
            for chunk in self._run(reader.poll()):
                if position < extent.end:
                    end = min(chunk.next_offset, extent.end)
                    self._done += end - position
                    position = end
                    yield split(chunk, end)[0] if chunk.next_offset > end else chunk
            self._on_records(self._done, self._total)
        self._run(self._end(reader, tp))

    async def _begin(self, reader: TopicReader, tp: TopicPartition, offset: int) -> None:
        reader.assign({tp: offset})

    async def _end(self, reader: TopicReader, tp: TopicPartition) -> None:
        """Without it the consumer would go on fetching what nobody asks for."""
        reader.pause(tp)
