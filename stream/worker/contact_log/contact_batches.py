"""Record batches for the contact changelog: layout, rows and tombstones of a checkpoint, and its marker."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

from stream.columns import Spans
from stream.contacts import contact_records
from stream.kafka.records import Codec, RecordBatch, build_batches
from stream.state.linked_rows import together
from stream.worker.partition.block import Block

_BATCH_BYTES = 900_000
_RECORD_BYTES = 600
"""What a record has beside the words of its row: the longest customer id, and its frame."""


def copy_contacts(
    block: Block, erased: Collection[bytes], covered: Mapping[str, int], compression: Codec
) -> list[RecordBatch]:
    """What a checkpoint writes to the contact changelog, as of now; the marker is the last record.

    Args:
        block: The partition. Its changed rows are taken.
        erased: Customers whose tombstones are due.
        covered: Next offset of each event topic as of now.
        compression: Compression of the records.

    Returns:
        Nothing for a partition without contacts.
    """
    contacts = block.contacts
    if contacts is None:
        return []
    table, now_ms = contacts.table, time.time_ns() // 1_000_000
    batches: list[RecordBatch] = []

    def add(key: Spans, value: Spans) -> None:
        batches.extend(
            build_batches(key, value, now_ms, batch_bytes_max=_BATCH_BYTES, codec=compression)
        )

    if table.layout.digest not in contacts.told:
        key, value = contact_records.encode_layout(table.layout)
        add(Spans.of([key]), Spans.of([value]))
        contacts.told.add(table.layout.digest)
    rows_max = _BATCH_BYTES // (table.layout.row_bytes + _RECORD_BYTES)
    for rows in together(table.take_dirty(), block.table.links, rows_max):
        if len(rows):
            add(block.table.key_spans(rows), contact_records.encode_contact_rows(table, rows))
    gone = sorted(key for key in erased if block.table.find(key) < 0)
    if gone:
        add(Spans.of(gone), Spans.of([None] * len(gone)))
    marker = contact_records.encode_contact_marker(covered, table.customers)
    add(Spans.of([contact_records.MARKER_KEY]), Spans.of([marker]))
    return batches
