"""Records sorted into shards: in memory as long as there is room, then in one file per shard.

Rules of this file
1. The records of a shard keep the order in which they came.
2. A file is written once, from the front to the end; one that is there already is an error.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trainer.errors import TrainingError
from trainer.replay.actions import Records


class Shard(NamedTuple):
    """Some of the customers of one partition."""

    partition: int
    bucket: int


class Spill:
    """The records of one dtype.

    Args:
        folder: Where files come to stand.
        name: What their names begin with.
        dtype: Of the records.

    Attributes:
        dtype: The dtype.
        memory_bytes: What is in memory.
    """

    def __init__(self, folder: Path, name: str, dtype: np.dtype[np.void]) -> None:
        self.memory_bytes = 0
        self._folder = folder
        self._name = name
        self.dtype = dtype
        # numpy compares the dtypes field by field whenever it joins arrays of structs.
        self._opaque = np.dtype((np.void, dtype.itemsize))
        self._pieces: dict[Shard, list[Records]] = defaultdict(list)
        self._on_disk: set[Shard] = set()

    def add(self, shard: Shard, records: Records) -> None:
        """Appends records to a shard."""
        if len(records):
            self._pieces[shard].append(records.view(self._opaque))
            self.memory_bytes += records.nbytes

    def shards(self) -> set[Shard]:
        """The shards that have records."""
        return self._on_disk | self._pieces.keys()

    def flush(self) -> None:
        """Moves all records from memory to disk.

        Raises:
            TrainingError: The disk does not take them.
        """
        for shard, pieces in self._pieces.items():
            path = self._path(shard)
            try:
                with path.open("ab" if shard in self._on_disk else "xb", buffering=0) as file:
                    for piece in pieces:
                        piece.tofile(file)
            except OSError as exc:
                raise TrainingError(
                    f"expected to keep the history on disk, {path}: {exc.strerror or exc}. Make "
                    "room there, or raise training.memory_mb"
                ) from exc
            self._on_disk.add(shard)
        self._pieces.clear()
        self.memory_bytes = 0

    def load(self, shard: Shard) -> Records:
        """The records of a shard. Shape (n,)."""
        parts = [np.empty(0, self._opaque)]
        if shard in self._on_disk:
            parts.append(np.fromfile(self._path(shard), self._opaque))
        return np.concatenate([*parts, *self._pieces.get(shard, [])]).view(self.dtype)

    def _path(self, shard: Shard) -> Path:
        return self._folder / f"{self._name}-{shard.partition}-{shard.bucket}.records"
