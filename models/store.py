"""A folder of small files, local or on an object store: whole files in, whole files out.

Rules of this file
1. A file is there completely or not at all, whatever crashes when.
2. No more bytes are read than the caller allows.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem


@dataclass(frozen=True)
class Store:
    """One folder; every name is relative to it.

    Attributes:
        fs: fsspec file system.
        root: The folder in it.
    """

    fs: Any
    root: str

    @classmethod
    def open(cls, url: str | Path) -> Store:
        """A folder by local path or fsspec URL; it need not exist."""
        fs, root = url_to_fs(str(url))
        return cls(fs, root.rstrip("/"))

    def folder(self, name: str) -> Store:
        """A folder below this one."""
        return Store(self.fs, f"{self.root}/{name}")

    def read(self, name: str, bytes_max: int) -> bytes:
        """The file, or its first bytes_max + 1 bytes: the caller sees that there are too many.

        Raises:
            FileNotFoundError: There is no such file.
            OSError: The store cannot be reached or refuses.
        """
        return cast("bytes", self.fs.cat_file(f"{self.root}/{name}", start=0, end=bytes_max + 1))

    def write(self, name: str, data: bytes) -> None:
        """Puts a file in place at once: readers see the old one or the new one.

        Raises:
            OSError: The store cannot be reached or refuses; the old file stands.
        """
        path = f"{self.root}/{name}"
        if isinstance(self.fs, LocalFileSystem):
            _write_local(Path(path), data)
        else:
            self.fs.pipe_file(path, data)  # one put: object stores show it whole or not at all

    def remove(self, name: str) -> None:
        """Removes a file if it is there."""
        try:
            self.fs.rm_file(f"{self.root}/{name}")
        except FileNotFoundError:
            return

    def holding(self, name: str) -> list[str]:
        """Names of the folders directly below that hold a file `name`, sorted."""
        self.fs.invalidate_cache()  # some file systems remember listings for a while
        found = [path.split("/")[-2:] for path in self.fs.find(self.root, maxdepth=2)]
        return sorted(folder for folder, file in found if file == name)


def _write_local(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    for folder in (path.parent, path.parent.parent):  # the second when the first is new
        _fsync_folder(folder)


def _fsync_folder(folder: Path) -> None:
    """Makes a rename in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
