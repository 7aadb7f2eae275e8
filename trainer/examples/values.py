"""Features of many examples: in memory as long as there is room, then in a file.

A file is read by the block and not mapped into memory: mapped pages count as memory in use, and a
container that is bounded would be ended for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stream.columns import Float64s
from trainer.errors import TrainingError
from trainer.examples.part import Values

_GROWTH = 1.25


@dataclass(frozen=True, slots=True)
class FileValues:
    """n rows of F features in a file, float64, little-endian, a row after the other.

    Attributes:
        path: The file.
        rows: n.
        features: F.
    """

    path: Path
    rows: int
    features: int

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, rows: slice) -> Float64s:
        start, stop, step = rows.indices(self.rows)
        assert step == 1, f"expected neighbouring rows, got {rows}"
        count = max(stop - start, 0) * self.features
        offset = start * self.features * 8
        return np.fromfile(self.path, "<f8", count, offset=offset).reshape(-1, self.features)


class ValuesWriter:
    """Collects features, block by block.

    Args:
        path: The file that there will be if they do not fit into memory.
        features: F.
        memory_bytes: Most bytes in memory.
    """

    def __init__(self, path: Path, features: int, memory_bytes: int) -> None:
        self._path = path
        self._memory_bytes = memory_bytes
        self._values = np.empty((0, features))
        self._in_memory = 0
        self._in_file = 0

    def __len__(self) -> int:
        return self._in_file + self._in_memory

    def append(self, values: Float64s) -> None:
        """Takes the next rows. Shape (n, F), float64.

        Raises:
            TrainingError: The disk does not take them.
        """
        rows, features = values.shape
        end = self._in_memory + rows
        if self._in_file or end * features * 8 > self._memory_bytes:
            self._write(self._values[: self._in_memory])
            self._values, self._in_memory = np.empty((0, features)), 0
            self._write(values)
            return
        if end > len(self._values):
            # resize() extends in place when it can; nobody else has the array yet.
            self._values.resize((int(end * _GROWTH), features), refcheck=False)
        self._values[self._in_memory : end] = values
        self._in_memory = end

    def finish(self) -> Values:
        """All rows; nothing may be appended any more."""
        if self._in_file:
            return FileValues(self._path, self._in_file, self._values.shape[1])
        return self._values[: self._in_memory]

    def _write(self, values: Float64s) -> None:
        if len(values) == 0:
            return
        try:
            with self._path.open("ab" if self._in_file else "xb", buffering=0) as file:
                np.ascontiguousarray(values, "<f8").tofile(file)
        except OSError as exc:
            raise TrainingError(
                f"expected to keep features on disk, {self._path}: {exc.strerror or exc}. Make "
                "room there, or raise training.memory_mb"
            ) from exc
        self._in_file += len(values)
