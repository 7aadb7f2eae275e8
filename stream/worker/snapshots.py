"""The table on disk while a worker is stopped, so that the next start reads only the changelog's tail.

A snapshot is one partition as of a changelog offset. It is written when a worker has stopped with
everything durable; what was written to the changelog since is restored from there, as after a
rebalance. The changelog stays the truth: without a snapshot all of it is read.

Rules of this file
1. A snapshot is used once, and removed before its rows are.
2. It is not used when it is older than tombstones may be: a customer who was erased stays erased.
3. A snapshot that cannot be used costs a warning and the time to read the changelog, nothing else.
4. It holds customer ids: nobody but the owner may read it.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import crc32c
import msgspec
import numpy as np

from stream.changelog import Source
from stream.columns import Spans
from stream.errors import OperatorError
from stream.table import CustomerTable
from stream.worker.blocks import Block
from stream.worker.log import log_event

_VERSION = 1
_CRC_BYTES = 4
_AGE_MAX_S = 12 * 3600  # half of delete.retention.ms, how long compaction keeps a tombstone


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    """First line of the file; state, sizes of the keys, keys and the checksum of all follow."""

    version: int
    changelog: str
    partition: int
    offset: int
    covered: dict[str, int]
    order: list[tuple[str, int]]
    sources: dict[str, Source] = {}
    rows: int
    words: int
    saved_s: float


class Unusable(ValueError):
    """A snapshot that is damaged, too old, or of something else."""


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
            size = sum(self._write(partition, block) for partition, block in saved.items())
        except OSError as exc:
            log_event("snapshot_failed", level=logging.WARNING, reason=str(exc))
            return
        log_event(
            "snapshot", partitions=len(saved), rows=sum(len(b.table) for b in saved.values()),
            mb=round(size / 1e6, 3), took_ms=round((time.perf_counter() - began_s) * 1e3),
        )  # fmt: skip

    def take(self, partition: int, words: int) -> Block | None:
        """The partition as it was saved, None when there is no snapshot that can be used.

        Args:
            partition: Which.
            words: 8-byte words of a row.
        """
        path = self._path(partition)
        began_s = time.perf_counter()
        try:
            data = path.read_bytes()
            path.unlink()
            block = self._read(data, partition, words)
        except FileNotFoundError:
            return None
        except (OSError, Unusable, msgspec.MsgspecError) as exc:
            reason = f"{path}: {exc}; the changelog is read instead"
            log_event("snapshot_unused", level=logging.WARNING, partition=partition, reason=reason)
            return None
        log_event(
            "snapshot_used", partition=partition, rows=len(block.table),
            changelog_offset=block.changelog_offset,
            took_ms=round((time.perf_counter() - began_s) * 1e3),
        )  # fmt: skip
        return block

    def _write(self, partition: int, block: Block) -> int:
        table = block.table
        keys = table.key_spans(np.arange(len(table)))
        header = _Header(
            version=_VERSION, changelog=self._changelog, partition=partition,
            offset=block.changelog_offset, covered=block.progress.covered,
            order=block.progress.order, sources=block.progress.sources, rows=len(table), words=table.words, saved_s=time.time(),
        )  # fmt: skip
        pieces = (
            np.frombuffer(msgspec.json.encode(header) + b"\n", np.uint8),
            table.state.reshape(-1).view(np.uint8),
            keys.size.view(np.uint8),
            keys.data[: int(keys.size.sum())],  # those of a table lie one behind the other
        )
        crc = 0
        # A temporary file is readable by its owner alone, and stays so under its new name.
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".new-", delete=False) as file:
            try:
                for piece in pieces:
                    crc = crc32c.crc32c(piece.data, crc)
                    file.write(piece.data)
                file.write(crc.to_bytes(_CRC_BYTES, "little"))
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(self._path(partition))
            except OSError:
                Path(file.name).unlink(missing_ok=True)
                raise
        return sum(piece.nbytes for piece in pieces)

    def _read(self, data: bytes, partition: int, words: int) -> Block:
        whole = memoryview(data)[:-_CRC_BYTES]
        if crc32c.crc32c(whole).to_bytes(_CRC_BYTES, "little") != data[-_CRC_BYTES:]:
            raise Unusable("expected what was written, got another checksum")
        head = data[: data.find(b"\n")]
        header = msgspec.json.decode(head, type=_Header)
        expected = (_VERSION, self._changelog, partition, words)
        got = (header.version, header.changelog, header.partition, header.words)
        if got != expected:
            raise Unusable(f"expected {expected}, got {got}")
        age_s = time.time() - header.saved_s
        if not 0 <= age_s <= _AGE_MAX_S:
            raise Unusable(f"expected an age of at most {_AGE_MAX_S} s, got {age_s:.0f} s")
        body = whole[len(head) + 1 :]
        state_bytes, size_bytes = 8 * header.rows * words, 8 * header.rows
        size = np.frombuffer(body[state_bytes : state_bytes + size_bytes], np.int64).copy()
        keys = np.frombuffer(body[state_bytes + size_bytes :], np.uint8)
        table = CustomerTable(words)
        table.rows_for(Spans(keys, np.cumsum(size) - size, size))
        table.state[:] = np.frombuffer(body[:state_bytes], np.float64).reshape(-1, words)
        block = Block(table)
        block.progress.covered, block.progress.order = dict(header.covered), list(header.order)
        block.progress.sources = dict(header.sources)
        block.read(header.offset)
        return block

    def _path(self, partition: int) -> Path:
        return self._folder / f"{self._changelog}-{partition}.snapshot"


def _is_durable(block: Block) -> bool:
    """Whether the changelog says all that the table says."""
    return (
        block.changelog_offset >= 0
        and block.position == block.progress.covered
        and not block.table.has_dirty
    )
