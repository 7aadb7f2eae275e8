"""A folder of small files, local or on an object store: whole files in, whole files out.

Rules of this file
1. A file is there completely or not at all, whatever crashes when.
2. No more bytes are read than the caller allows.
3. `create` is how two writers settle who was first; `lock` keeps them apart where there is a kernel
   to do it.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

_LOCK = ".lock"


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

    @property
    def local(self) -> bool:
        """Whether it is a folder of this machine, or mounted on it."""
        return isinstance(self.fs, LocalFileSystem)

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
        if self.local:
            with _temporary(Path(path), data) as temporary:
                temporary.replace(path)
        else:
            self.fs.pipe_file(path, data)  # one put: object stores show it whole or not at all

    def create(self, name: str, data: bytes) -> None:
        """`write` of a file that must not be there yet: of several writers one succeeds.

        On an object store this is its conditional put (`If-None-Match` of S3, generation 0 of
        Google's). Where the file system has none, fsspec looks first and writes then.

        Raises:
            FileExistsError: It is there already, and stays as it is.
            OSError: The store cannot be reached or refuses.
        """
        path = f"{self.root}/{name}"
        if self.local:
            with _temporary(Path(path), data) as temporary:
                os.link(temporary, path)
        else:
            self.fs.pipe_file(path, data, mode="create")

    def remove(self, name: str) -> None:
        """Removes a file if it is there."""
        try:
            self.fs.rm_file(f"{self.root}/{name}")
        except FileNotFoundError:
            return

    def remove_folder(self, name: str) -> None:
        """Removes a folder below this one, with all that is in it, if it is there."""
        try:
            self.fs.rm(f"{self.root}/{name}", recursive=True)
        except FileNotFoundError:
            return

    def holding(self, name: str) -> list[str]:
        """Names of the folders directly below that hold a file `name`, sorted."""
        self.fs.invalidate_cache()  # some file systems remember listings for a while
        found = [path.split("/")[-2:] for path in self.fs.find(self.root, maxdepth=2)]
        return sorted(folder for folder, file in found if file == name)

    def files(self) -> list[str]:
        """Names of the files directly in it, sorted."""
        self.fs.invalidate_cache()
        return sorted(path.rpartition("/")[2] for path in self.fs.find(self.root, maxdepth=1))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps everybody else who asks for the lock of this folder waiting, until it ends.

        The kernel holds the lock and gives it up when the process ends, however it ends. An object
        store has none: there it does nothing.

        Raises:
            FileNotFoundError: There is no such folder.
        """
        if not self.local:
            yield
            return
        descriptor = os.open(f"{self.root}/{_LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


@contextmanager
def _temporary(path: Path, data: bytes) -> Iterator[Path]:
    """The data in a file beside `path`, on the disk; whoever moves it there makes it last."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
    for folder in (path.parent, path.parent.parent):  # the second when the first is new
        _fsync_folder(folder)


def _fsync_folder(folder: Path) -> None:
    """Makes a new name in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
