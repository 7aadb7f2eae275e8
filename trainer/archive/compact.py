"""Compaction: the small files of many flushes become the large ones of a few.

Rules of this file
1. Flushes that follow each other become one flush over all of their offsets. Its last file makes it
   count, and them not (`layout`, rule 3); only then are they removed. A crash costs nothing.
2. The last flush of a partition stays as it is: it says where archiving goes on, and an archiver may
   run meanwhile.
3. Flushes of different days are not merged, so that a day is merged once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import msgspec
import pyarrow as pa

from stream.kafka.skip_list import merged
from trainer.archive.files import encode
from trainer.archive.folder import Archive, TopicFolder
from trainer.archive.layout import Facts, FileName, Flush
from trainer.archive.leftovers import begin_rewriting
from trainer.errors import TrainingError

OnFiles = Callable[[int, int], None]
"""Called with the number of files merged so far and of those there are to merge."""


@dataclass(slots=True)
class Compacted:
    """What was merged.

    Attributes:
        records: Records.
        files_before: Files that they were in.
        files_after: Files that they are in.
    """

    records: int = 0
    files_before: int = 0
    files_after: int = 0


def compact(
    archive: Archive,
    topics: Sequence[str],
    before: str,
    target_bytes: int,
    on_files: OnFiles | None = None,
) -> Compacted:
    """Merges the flushes of each day.

    Args:
        archive: The archive.
        topics: Names of its topics.
        before: UTC day, YYYY-MM-DD; flushes with a record of this day or a later one stay.
        target_bytes: Most bytes of the files that become one flush.
        on_files: Told of the progress.

    Raises:
        TrainingError: A topic is missing, or a file cannot be read or written; some may be merged.
    """
    missing = sorted(set(topics) - set(archive.topics()))
    if missing:
        raise TrainingError(
            f"expected the topics {list(topics)} in {archive.url}, missing: {missing}. Correct --topic"
        )
    compacted = Compacted()
    with ExitStack() as locks:
        runs = []
        for folder in map(archive.topic, topics):
            locks.enter_context(folder.lock("rewrite"))
            flushes = begin_rewriting(folder).flushes
            sizes = folder.sizes()
            for chain in flushes.values():
                runs += [(folder, run) for run in plan(chain, sizes, before, target_bytes)]
        total = sum(len(flush.files) for _, run in runs for flush in run)
        for folder, run in runs:
            _merge(folder, run, compacted)
            if on_files is not None:
                on_files(compacted.files_before, total)
    return compacted


def plan(
    chain: Sequence[Flush], sizes: Mapping[str, int], before: str, target_bytes: int
) -> list[list[Flush]]:
    """Which flushes of a partition become one: at least two, each of which follows the one before.

    Args:
        chain: The whole flushes, in the order of offsets.
        sizes: Bytes of each file, by its path.
        before: See `compact`, as target_bytes.
        target_bytes: Most bytes of what becomes one.
    """
    runs: list[list[Flush]] = []
    end = max(flush.next for flush in chain)
    day, bytes_so_far = "", 0
    for flush in chain:
        newest = max(name.day for name in flush.files)
        if newest >= before or flush.next == end:
            continue
        bytes_here = sum(sizes[name.path] for name in flush.files)
        follows = bool(runs) and runs[-1][-1].next == flush.first
        if follows and newest == day and bytes_so_far + bytes_here <= target_bytes:
            runs[-1].append(flush)
            bytes_so_far += bytes_here
        else:
            runs.append([flush])
            day, bytes_so_far = newest, bytes_here
    return [run for run in runs if len(run) > 1]


def _merge(folder: TopicFolder, run: Sequence[Flush], compacted: Compacted) -> None:
    """Writes one flush in the place of several, and removes them."""
    parts: dict[tuple[str, int], list[FileName]] = defaultdict(list)
    for name in (name for flush in run for name in flush.files):
        parts[name.day, name.bucket].append(name)
    told = [folder.decoded(flush.files[0])[1] for flush in run]
    lost = tuple(one for facts in told for one in facts.lost)
    skipped = merged(one for facts in told for one in facts.skipped or ())
    headerless = merged(one for facts in told for one in facts.headerless or ())
    for k, (day, bucket) in enumerate(sorted(parts), 1):
        table = pa.concat_tables([folder.decoded(name)[0] for name in parts[day, bucket]])
        name = FileName(day, bucket, run[0].partition, run[0].first, run[-1].next, k, len(parts))
        facts = msgspec.structs.replace(
            Facts.of(folder.topic, name, folder.buckets),
            rows=table.num_rows,
            lost=lost,
            skipped=skipped or msgspec.UNSET,
            headerless=headerless or msgspec.UNSET,
        )
        folder.write(name, encode(table.combine_chunks(), facts))
        compacted.records += table.num_rows
    for flush in run:
        for name in flush.files:
            folder.remove(name)
    compacted.files_before += sum(len(flush.files) for flush in run)
    compacted.files_after += len(parts)
