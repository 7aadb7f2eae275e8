"""The table on disk while a worker is stopped, so that the next start reads only the changelog's tail.

A snapshot is one partition as of a changelog offset. It is written when a worker has stopped with
everything durable; what was written to the changelog since is restored from there, as after a
rebalance. The changelog stays the truth: without a snapshot all of it is read.

Rules of this file
1. A snapshot is used once, and removed before its rows are.
2. It is not used when it is older than tombstones may be: a customer who was erased stays erased.
3. It holds the marker that stands at its offset: the restore goes on there only if it still does.
4. A snapshot that cannot be used costs a warning and the time to read the changelog, nothing else.
5. It holds customer ids: nobody but the owner may read it. It decides what a worker believes: one
   that others could have written is not used.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from stream.errors import OperatorError
from stream.log import log_event
from stream.state.marker import Anchor, Progress
from stream.worker.partition import snapshot_bytes
from stream.worker.partition.block import Block
from stream.worker.partition.lifecycle import State
from stream.worker.partition.private_file import expect_private_folder, read_private
from stream.worker.partition.snapshot_bytes import VERSION, Header, Unusable

_AGE_MAX_S = 12 * 3600  # half of delete.retention.ms, how long compaction keeps a tombstone
# The file and the table that is made of it are in memory together.
_BYTES_MAX = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


class Snapshots:
    """The snapshots of one changelog topic in one folder; workers of one machine may share it.

    Args:
        folder: Where they lie; made if it is not there.
        changelog: Name of the topic, which carries the digest of the row layout.

    Raises:
        OperatorError: The folder cannot be made.
    """

    def __init__(self, folder: Path, changelog: str) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise OperatorError(
                f"expected a folder for snapshots at {folder}, got {exc.strerror}. Correct "
                "worker.snapshots or --snapshots"
            ) from exc
        self._folder = folder
        self._changelog = changelog

    def save(self, blocks: Mapping[int, Block]) -> None:
        """Writes the partitions that are durable as they are; the others are left out."""
        began_s = time.perf_counter()
        saved = {p: block for p, block in blocks.items() if _is_durable(block)}
        try:
            expect_private_folder(self._folder)
            size = sum(self._write(partition, block) for partition, block in saved.items())
        except OSError as exc:
            log_event("snapshot_failed", level=logging.WARNING, reason=str(exc))
            return
        log_event(
            "snapshot", partitions=len(saved), rows=sum(len(b.table) for b in saved.values()),
            mb=round(size / 1e6, 3), took_ms=round((time.perf_counter() - began_s) * 1e3),
        )  # fmt: skip

    def take(self, partition: int, words: int, topics: Collection[str]) -> Block | None:
        """The partition as it was saved, None when there is no snapshot that can be used.

        Args:
            partition: Which.
            words: 8-byte words of a row.
            topics: Event topics.
        """
        path = self._path(partition)
        began_s = time.perf_counter()
        try:
            try:
                data = read_private(path, _BYTES_MAX)
            finally:
                path.unlink()
            block = self._read(data, partition, words, topics)
        except FileNotFoundError:
            return None
        except (OSError, Unusable) as exc:
            reason = f"{path}: {exc}; the changelog is read instead"
            log_event("snapshot_unused", level=logging.WARNING, partition=partition, reason=reason)
            return None
        log_event(
            "snapshot_used", partition=partition, rows=len(block.table),
            changelog_offset=None if block.progress.anchor is None else block.progress.anchor.offset,
            took_ms=round((time.perf_counter() - began_s) * 1e3),
        )  # fmt: skip
        return block

    def _write(self, partition: int, block: Block) -> int:
        table, known = block.table, block.progress
        assert known.anchor is not None, "what is durable has a marker"
        header = Header(
            version=VERSION, changelog=self._changelog, partition=partition,
            offset=known.anchor.offset, marker=known.anchor.value, covered=known.covered,
            order=known.order, sources=known.sources, rows=len(table), words=table.words,
            saved_s=time.time(),
        )  # fmt: skip
        pieces = snapshot_bytes.encode(header, table)
        # A temporary file is readable by its owner alone, and stays so under its new name.
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".new-", delete=False) as file:
            try:
                for piece in pieces:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(self._path(partition))
            except OSError:
                Path(file.name).unlink(missing_ok=True)
                raise
        return sum(piece.nbytes for piece in pieces)

    def _read(self, data: bytes, partition: int, words: int, topics: Collection[str]) -> Block:
        header, body = snapshot_bytes.decode(data)
        expected = (VERSION, self._changelog, partition, words)
        got = (header.version, header.changelog, header.partition, header.words)
        if got != expected:
            raise Unusable(f"expected {expected}, got {got}")
        others = {*header.covered, *(topic for topic, _ in header.order)} - set(topics)
        if others:
            raise Unusable(f"expected event topics {sorted(topics)}, got also {sorted(others)}")
        age_s = time.time() - header.saved_s
        if not 0 <= age_s <= _AGE_MAX_S:
            raise Unusable(f"expected an age of at most {_AGE_MAX_S} s, got {age_s:.0f} s")
        block = Block(snapshot_bytes.table_of(header, body))
        block.progress = Progress(
            dict(header.covered), list(header.order), header.rows,
            Anchor(header.offset, header.marker), sources=dict(header.sources),
        )  # fmt: skip
        return block

    def _path(self, partition: int) -> Path:
        return self._folder / f"{self._changelog}-{partition}.snapshot"


def _is_durable(block: Block) -> bool:
    """Whether the changelog says all that the table says."""
    return (
        block.state is State.KEPT
        and block.progress.anchor is not None
        and block.position == block.progress.covered
        and not block.has_unwritten
    )
