"""Where archiving a topic goes on, and whether it is still the same topic.

Rules of this file
1. What an interrupted flush has left is removed; its offsets are read again.
2. A topic that was deleted and created anew has offsets that mean something else. It is refused:
   when it is shorter than the archive, or when the last archived record is another one in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stream.columns import RecordChunk
from stream.log import log_event
from trainer.archive.folder import TopicFolder
from trainer.archive.layout import Flush
from trainer.archive.leftovers import begin_archiving
from trainer.errors import TrainingError
from trainer.history.topics import Extent


@dataclass(frozen=True, slots=True)
class LastRecord:
    """The last record of a partition that the archive holds."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None

    def expect_in(self, chunk: RecordChunk) -> None:
        """Compares it with the first record of a chunk, if that has its offset.

        It need not have: compaction may have removed it.

        Raises:
            TrainingError: It is another record.
        """
        if len(chunk) == 0 or int(chunk.offset[0]) != self.offset:
            return
        found = LastRecord(self.offset, int(chunk.timestamp_ms[0]), chunk.key[0], chunk.value[0])
        if found != self:
            raise created_anew(
                chunk.topic,
                chunk.partition,
                f"the record of {self.timestamp_ms} ms at offset {self.offset}",
                f"another one of {found.timestamp_ms} ms",
            )


@dataclass(frozen=True, slots=True)
class Position:
    """Where a partition goes on.

    Attributes:
        next: First offset that is not archived.
        last: The last record that is, None when there is none.
    """

    next: int
    last: LastRecord | None


def resume(folder: TopicFolder, held: Mapping[int, Extent]) -> dict[int, Position]:
    """Where each partition of a topic goes on; of one that is not archived, at its beginning.

    Only for who holds the lock of the topic.

    Args:
        folder: The archive of the topic.
        held: What each partition of the topic holds.

    Raises:
        TrainingError: The archive is damaged, or of another topic of this name.
    """
    found, removed = begin_archiving(folder)
    if removed:
        log_event("leftovers", topic=folder.topic, removed=removed)
    archived = {partition: found.end(partition) for partition in found.flushes}
    for partition, next_ in archived.items():
        end = held[partition].end if partition in held else 0
        if next_ > end:
            raise created_anew(
                folder.topic, partition, f"offsets up to {next_}", f"an end at {end}"
            )
    return {
        partition: Position(
            archived.get(partition, extent.begin),
            _last_record(folder, found.flushes.get(partition, [])),
        )
        for partition, extent in held.items()
    }


def _last_record(folder: TopicFolder, chain: list[Flush]) -> LastRecord | None:
    """The last record of the last flush, None when there is none or it was erased."""
    if not chain:
        return None
    flush = max(chain, key=lambda flush: flush.next)
    # Without headers: files of an older format have lost them.
    tables = [folder.decoded(name)[0].drop_columns(["headers"]) for name in flush.files]
    last = [row for table in tables for row in table.slice(max(table.num_rows - 1, 0)).to_pylist()]
    return max((LastRecord(**row) for row in last), key=lambda row: row.offset, default=None)


def created_anew(topic: str, partition: int, wanted: str, got: str) -> TrainingError:
    """The error for a topic that is not the one in the archive."""
    return TrainingError(
        f"expected {wanted} in {topic}/{partition}, as it is in the archive, got {got}. The topic was "
        "created anew or is one of another cluster: archive it to another folder"
    )
