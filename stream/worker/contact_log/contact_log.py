"""The contact changelog of a worker: read before a partition begins, written before its features.

Two may write to it: the owner of a partition, and a worker that does not know yet that it has lost it.
Where the owner's marker comes to stand tells it; then the customers of the other's records are
written again, since compaction would keep those.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping

import numpy as np

from stream.contacts.contact_layout import ContactLayout
from stream.contacts.contact_records import topic_name
from stream.kafka.records import Codec, RecordBatch
from stream.log import log_event
from stream.worker.contact_log.contact_batches import copy_contacts
from stream.worker.contact_log.contact_restore import ContactRestore
from stream.worker.partition.block import Block
from stream.worker.shell import Shell


class ContactLog:
    """The contact changelog.

    Args:
        app: Name of the app.
        layout: Of contact rows; without cells nothing is read or written.
        compression: Compression of the records.
        shell: The app.
    """

    def __init__(self, app: str, layout: ContactLayout, compression: Codec, shell: Shell) -> None:
        self.topic = topic_name(app)
        self._layout = layout
        self._compression: Codec = compression
        self._shell = shell

    async def restore(self, partition: int, block: Block) -> None:
        """Gives a partition its contacts.

        Raises:
            StateError: They cannot be read, or are not whole.
        """
        if not self._layout.cells:
            return
        first = await self._shell.earliest(self.topic, partition)
        end = await self._shell.end(self.topic, partition)
        restore = ContactRestore(block, self._layout)
        if end > first:
            async for chunk in self._shell.read(self.topic, partition, first, end):
                restore.read(chunk)
        restore.finish(end, f"{self.topic}/{partition}")

    def copy(
        self, block: Block, erased: Collection[bytes], covered: Mapping[str, int]
    ) -> list[RecordBatch]:
        """What a checkpoint writes: see `copy_contacts`."""
        return copy_contacts(block, erased, covered, self._compression)

    async def write(self, partition: int, block: Block, batches: list[RecordBatch]) -> None:
        """Writes what was copied, and returns when it is durable."""
        contacts = block.contacts
        if contacts is None or not batches:
            return
        futures = [await self._shell.send(self.topic, partition, batch) for batch in batches]
        results = await asyncio.gather(*futures)
        marker = int(results[-1].offset)
        first, contacts.end = contacts.end, marker + 1
        if marker + 1 != first + sum(batch.records for batch in batches):
            await self._write_again(partition, block, first, marker)

    async def _write_again(self, partition: int, block: Block, first: int, marker: int) -> None:
        """Marks the customers of others' records, so that the next checkpoint writes them again."""
        assert block.contacts is not None
        table, found = block.contacts.table, 0
        async for chunk in self._shell.read(self.topic, partition, first, marker):
            for i in range(len(chunk)):
                row = block.table.find(chunk.key[i] or b"")
                if row >= 0 and table.next_offset[row].any():
                    table.mark_dirty(np.array([row]))
                    found += 1
        log_event(
            "foreign_contacts", level=logging.WARNING, partition=partition, offset=first,
            until=marker, rewrite=found,
        )  # fmt: skip
