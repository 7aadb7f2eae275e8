"""A folder of small files, local or on an object store: whole files in, whole files out.

Rules of this file
1. A file is there completely or not at all, whatever crashes when.
2. No more bytes are read than the caller allows.
3. `create` is how two writers settle who was first; `lock` keeps them apart where there is a kernel
   to do it.
4. What goes wrong is an `OSError`, also where the client of an object store has errors of its own.
"""

from __future__ import annotations

import fcntl
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

_LOCK = ".lock"
_PROBE = ".probe"
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""Extra of this package that brings the file system of a URL, by its protocol."""


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
        """A folder by local path or fsspec URL; it need not exist.

        Raises:
            OSError: There is no package installed for URLs of this kind, or no such kind.
        """
        try:
            fs, root = url_to_fs(str(url))
        except (ImportError, ValueError) as exc:
            raise OSError(_not_opened(str(url), exc)) from exc
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
        path = f"{self.root}/{name}"
        if self.local:
            return _read_file(path, bytes_max + 1)
        with self._reaching(path):
            return cast("bytes", self.fs.cat_file(path, start=0, end=bytes_max + 1))

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
            with self._reaching(path):
                self.fs.pipe_file(path, data)  # one put: shown whole or not at all

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
            with self._reaching(path):
                self.fs.pipe_file(path, data, mode="create")

    def probe(self) -> None:
        """Makes the folder if need be and writes to it, to know now whether that can be done.

        Raises:
            OSError: It cannot.
        """
        self.write(_PROBE, b"")
        with suppress(OSError):  # who may write an object store need not be allowed to delete
            self.remove(_PROBE)

    def remove(self, name: str) -> None:
        """Removes a file if it is there."""
        path = f"{self.root}/{name}"
        with suppress(FileNotFoundError), self._reaching(path):
            self.fs.rm_file(path)

    def remove_folder(self, name: str) -> None:
        """Removes a folder below this one, with all that is in it, if it is there."""
        path = f"{self.root}/{name}"
        with suppress(FileNotFoundError), self._reaching(path):
            self.fs.rm(path, recursive=True)

    def holding(self, name: str) -> list[str]:
        """Names of the folders directly below that hold a file `name`, sorted."""
        self.fs.invalidate_cache()  # some file systems remember listings for a while
        with self._reaching(self.root):
            found = [path.split("/")[-2:] for path in self.fs.find(self.root, maxdepth=2)]
        return sorted(folder for folder, file in found if file == name)

    def files(self) -> list[str]:
        """Names of the files directly in it, sorted."""
        self.fs.invalidate_cache()
        with self._reaching(self.root):
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
    def _reaching(self, path: str) -> Iterator[None]:
        """Errors that only the client of an object store knows become `OSError`."""
        try:
            yield
        except OSError:
            raise
        except Exception as exc:
            if self.local:
                raise
            raise OSError(f"{path}: {type(exc).__name__}: {exc}") from exc


def _read_file(path: str, bytes_max: int) -> bytes:
    """The first bytes of a file; of a FIFO, which would have a reader wait, an error."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path}: expected a regular file, got {stat.filemode(found.st_mode)}")
        return file.read(min(bytes_max, found.st_size))  # allocates what it is asked for


def _not_opened(url: str, exc: Exception) -> str:
    """Why a URL leads to no file system, and who can change that."""
    protocol = url.partition("://")[0]
    if protocol in _EXTRAS:
        return (
            f"expected the package for {protocol}:// to be installed, got: {exc}. "
            f'Install it with the extra: pip install "opportune[{_EXTRAS[protocol]}]"'
        )
    return f"expected a local path or a URL of a kind that is installed, got {url}: {exc}"


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
