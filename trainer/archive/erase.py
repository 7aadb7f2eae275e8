"""Deleting from the archive: the records of a customer, or those of old days.

Rules of this file
1. A file is replaced by one without the records, at once: a reader sees the old one or the new one.
2. Offsets stay covered, so an archiver goes on where it was, and may run meanwhile.
3. An interrupted deletion is made whole by doing it again.
4. What a crash has left of a compaction goes first: nothing of it may outlive the deletion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from trainer.archive.files import encode
from trainer.archive.folder import Archive, TopicFolder
from trainer.archive.layout import FileName, Flush, bucket_of
from trainer.archive.leftovers import begin_rewriting


@dataclass(slots=True)
class Erased:
    """What was deleted.

    Attributes:
        records: Records.
        rewritten: Files that were replaced.
        removed: Files that were removed.
    """

    records: int = 0
    rewritten: int = 0
    removed: int = 0


def erase_customer(archive: Archive, topics: Sequence[str], customer: bytes) -> Erased:
    """Deletes all records with this key.

    Raises:
        TrainingError: A file cannot be read or written; some may be done.
    """
    bucket = bucket_of(customer, archive.buckets)
    is_theirs = pa.scalar(customer, pa.large_binary())

    def rest(table: pa.Table) -> pa.Table:
        return table.filter(pc.invert(pc.fill_null(pc.equal(table["key"], is_theirs), False)))

    erased = Erased()
    for topic in topics:
        folder = archive.topic(topic)
        with folder.lock("rewrite"):
            for chain in begin_rewriting(folder).flushes.values():
                names = [name for flush in chain for name in flush.files if name.bucket == bucket]
                for name in names:
                    _rewrite(folder, name, rest, erased)
    return erased


def erase_before(archive: Archive, topics: Sequence[str], day: str) -> Erased:
    """Deletes all records with a timestamp before a UTC day, YYYY-MM-DD.

    The oldest flushes go as a whole. Of others the files stay, empty; the last flush always stays,
    since it says where archiving goes on.

    Raises:
        TrainingError: A file cannot be read or written; some may be done.
    """
    erased = Erased()
    for topic in topics:
        folder = archive.topic(topic)
        with folder.lock("rewrite"):
            for chain in begin_rewriting(folder).flushes.values():
                while len(chain) > 1 and all(name.day < day for name in chain[0].files):
                    _remove(folder, chain.pop(0), erased)
                names = [name for flush in chain for name in flush.files if name.day < day]
                for name in names:
                    _rewrite(folder, name, lambda table: table.slice(0, 0), erased)
    return erased


def _rewrite(
    folder: TopicFolder, name: FileName, rest: Callable[[pa.Table], pa.Table], erased: Erased
) -> None:
    table, facts = folder.decoded(name)
    left = rest(table)
    if left.num_rows < table.num_rows:
        facts = msgspec.structs.replace(facts, rows=left.num_rows)
        folder.write(name, encode(left.combine_chunks(), facts))
        erased.records += table.num_rows - left.num_rows
        erased.rewritten += 1


def _remove(folder: TopicFolder, flush: Flush, erased: Erased) -> None:
    """Removes a flush, its last file first: without it, the others do not count any more."""
    erased.records += sum(folder.decoded(name)[1].rows for name in flush.files)
    for name in reversed(flush.files):
        folder.remove(name)
    erased.removed += len(flush.files)
