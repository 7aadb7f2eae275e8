"""Contact rows of one partition out of their changelog, once its customers are restored.

All of the changelog is read each time: a row is small, and there is one for each customer.

Rules of this file
1. A customer whom the table lacks gets a row there: the contact was written, and a crash came before
   the features; or the features have changed and are built anew. It is dirty, since markers count it.
2. A customer who was erased while no worker ran stays erased.

Pure: no Kafka, no clock.
"""

from __future__ import annotations

import numpy as np

from stream.columns import RecordChunk
from stream.contacts.contact_layout import ContactLayout
from stream.contacts.contact_records import ContactProgress, apply_contact_chunk, check_contacts
from stream.contacts.contact_table import ContactTable
from stream.worker.partition.block import Block, Contacts


class ContactRestore:
    """A restore under way.

    Args:
        block: The partition, whose customers are restored. Gets its contacts when this is through.
        layout: Of contact rows.
    """

    def __init__(self, block: Block, layout: ContactLayout) -> None:
        self._block = block
        self._known = block.table.rows
        self._table = ContactTable(layout)
        self._progress = ContactProgress()

    def read(self, chunk: RecordChunk) -> None:
        """Applies a chunk of the contact changelog.

        Raises:
            StateError: A record cannot be read.
        """
        apply_contact_chunk(chunk, self._table, self._block.table, self._progress)

    def finish(self, end: int, where: str) -> None:
        """Ends the restore: from now on the partition has contacts.

        Args:
            end: Offset after the last record.
            where: The changelog partition, for messages.

        Raises:
            StateError: The contacts are not whole.
        """
        block, customers = self._block, self._block.table
        self._table.fit(customers.rows)
        covered = block.progress.covered if block.progress.has_contacts else {}
        check_contacts(covered, self._table.customers, self._progress, where)
        for key in block.progress.erased:
            row = customers.find(key)
            if row >= self._known:
                self._table.erase(np.array([row]))
                block.erased.add(key)
        new = np.arange(self._known, customers.rows)
        is_there = self._table.next_offset[new].any(axis=1)
        customers.erase(new[~is_there])  # a tombstone came after the row
        customers.mark_dirty(new[is_there])
        known = {mapping.old.digest for mapping in self._progress.mappings.values()}
        block.contacts = Contacts(self._table, end, known)
