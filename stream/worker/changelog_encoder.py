"""Record batches for the changelog topic: the rows of a checkpoint, and the marker."""

from __future__ import annotations

import time

from stream.columns import Spans
from stream.kafka.records import Codec, RecordBatch, build_batches
from stream.state import changelog
from stream.state.linked_rows import together
from stream.state.marker import MARKER_KEY, encode_marker
from stream.worker.partition.block import Block

_BATCH_BYTES = 900_000
_RECORD_BYTES = 600
"""What a record has beside the words of its row: the longest customer id, and its frame."""


class ChangelogEncoder:
    """Encodes what a partition writes to its changelog.

    Args:
        topic: The changelog topic.
        compression: Compression of the records.
    """

    def __init__(self, topic: str, compression: Codec) -> None:
        self.topic = topic
        self._compression: Codec = compression

    def rows(self, block: Block) -> tuple[int, list[RecordBatch]]:
        """The rows that changed since the last call: how many, and copies as of now."""
        rows, erased = block.table.take_dirty(), block.take_erased()
        batches = []
        rows_max = _BATCH_BYTES // (8 * block.table.words + _RECORD_BYTES)
        for part in together(rows, block.table.take_links(), rows_max):
            batches += self._encode(*changelog.encode_rows(block.table, part))
        if erased:
            batches += self._encode(*changelog.encode_tombstones(erased))
        return len(rows) + len(erased), batches

    def marker(self, block: Block) -> tuple[bytes, list[RecordBatch]]:
        """The marker as of now, its value and its record: made when it is sent, or a later one would say less."""
        progress = block.progress
        block.order.beyond(progress.covered)
        progress.order = list(block.order.runs())
        progress.aligned = block.order.stretches(progress.covered)
        value = encode_marker(progress)
        return value, self._encode(Spans.of([MARKER_KEY]), Spans.of([value]))

    def _encode(self, key: Spans, value: Spans) -> list[RecordBatch]:
        now_ms = time.time_ns() // 1_000_000
        return build_batches(
            key, value, now_ms, batch_bytes_max=_BATCH_BYTES, codec=self._compression
        )
