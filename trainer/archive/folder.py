"""The folder of an archive, on a local path or an object store.

Rules of this file
1. A file is there completely or not at all (`models.store`).
2. The number of buckets is chosen when the folder is new, and stays.
3. One process at a time adds to a topic, and one rewrites what is there. On a local path locks of the
   operating system see to it, which end with their process; an object store has none.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, cast

import msgspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from models.errors import NO_JSON
from models.promotions import who
from models.store import Store
from trainer.archive.files import cut, decode
from trainer.archive.layout import FORMAT, Facts, FileName, Survey, survey
from trainer.errors import TrainingError

_DESCRIPTION = "archive.json"
_DESCRIPTION_BYTES_MAX = 4096


class Description(msgspec.Struct, frozen=True):
    """What `archive.json` says.

    Attributes:
        format: `layout.FORMAT` of who made the archive.
        buckets: Number of buckets of customers.
    """

    format: int
    buckets: int


@dataclass(frozen=True)
class Archive:
    """An archive that is there.

    Attributes:
        url: Its folder, a local path or an fsspec URL.
        buckets: Number of buckets of customers.
    """

    url: str
    buckets: int

    @classmethod
    def open(cls, url: str | Path) -> Archive:
        """An archive that somebody has made.

        Raises:
            TrainingError: There is none, or it is of another version.
        """
        found = _describe(str(url))
        if found is None:
            raise TrainingError(
                f"expected an archive in {url}, got no {_DESCRIPTION} there. Make one with "
                "`opportune archive`, or name its folder"
            )
        return cls(str(url), found.buckets)

    @classmethod
    def open_or_create(cls, url: str | Path, buckets: int) -> Archive:
        """An archive, made with this number of buckets if there is none.

        Raises:
            TrainingError: It is of another version, or cannot be made there.
        """
        if _describe(str(url)) is None:
            description = msgspec.json.encode(Description(FORMAT, buckets))
            try:
                Store.open(url).write(_DESCRIPTION, description)
            except OSError as exc:
                raise TrainingError(f"{url}: expected to make an archive there, {exc}") from exc
        return cls.open(url)

    def topics(self) -> list[str]:
        """Names of the topics that have a folder, sorted."""
        store = Store.open(self.url)
        store.fs.invalidate_cache()  # some file systems remember listings for a while
        found = store.fs.ls(store.root, detail=True)
        return sorted(Path(entry["name"]).name for entry in found if entry["type"] == "directory")

    def topic(self, name: str) -> TopicFolder:
        """The folder of a topic; it need not exist."""
        return TopicFolder(name, Store.open(self.url).folder(name), self.buckets)


@dataclass(frozen=True)
class TopicFolder:
    """The files of one topic.

    Attributes:
        topic: Name of the topic.
        store: Its folder.
        buckets: Number of buckets of the archive.
    """

    topic: str
    store: Store
    buckets: int

    def survey(self) -> Survey:
        """What is there.

        Raises:
            TrainingError: Something that was there is missing.
        """
        return self.look()[0]

    def look(self) -> tuple[Survey, list[str]]:
        """What is there, and the paths of all files, temporary ones too.

        A listing takes its time: of flushes that are being merged it may show some files and miss
        others. Merging writes before it removes, so what is missing in two equal listings is missing.

        Raises:
            TrainingError: Something that was there is missing.
        """
        before: list[str] = []
        while True:
            paths = self._paths()
            names = (FileName.parse(path) for path in paths)
            try:
                found = survey(self.topic, (name for name in names if name is not None))
                if paths == before or not found.may_miss_the_beginning:
                    return found, paths
            except TrainingError:
                if paths == before:
                    raise
            before = paths

    def where(self, name: FileName) -> str:
        """A file, for messages."""
        return f"{self.store.root}/{name.path}"

    def read(self, name: FileName) -> bytes:
        """The bytes of a file; when it was merged since the survey, its part of the merged one.

        Raises:
            TrainingError: It cannot be read.
        """
        try:
            try:
                return cast("bytes", self.store.fs.cat_file(self.where(name)))
            except FileNotFoundError:
                return self._part_of_merged(name)
        except OSError as exc:
            raise TrainingError(
                f"expected the file {self.where(name)}, {exc}. Put it back, or see to the storage"
            ) from exc

    def decoded(self, name: FileName) -> tuple[pa.Table, Facts]:
        """The records of a file, checked, and all that it says about itself.

        Raises:
            TrainingError: It cannot be read, is damaged, foreign or of another version.
        """
        expected = Facts.of(self.topic, name, self.buckets)
        return decode(self.read(name), expected, self.where(name))

    def write(self, name: FileName, data: bytes) -> None:
        """Puts a file in place at once, over another of this name.

        Raises:
            TrainingError: It cannot be written.
        """
        try:
            self.store.write(name.path, data)
        except OSError as exc:
            raise TrainingError(
                f"expected to write {self.where(name)}, {exc}. See to the storage and start again: "
                "what was not archived is read again"
            ) from exc

    def prepare(self, days: Sequence[str]) -> None:
        """Makes the folders of days, so that they survive a power cut before files are in them."""
        if not isinstance(self.store.fs, LocalFileSystem):
            return
        for day in days:
            Path(self.store.root, f"date={day}").mkdir(exist_ok=True)
        _sync(Path(self.store.root))

    def sizes(self) -> dict[str, int]:
        """Bytes of each file, by its path below the folder."""
        fs, root = self.store.fs, self.store.root
        found = fs.find(root, detail=True).items() if fs.exists(root) else []
        return {path[len(root) + 1 :]: int(facts["size"] or 0) for path, facts in found}

    def remove(self, name: FileName) -> None:
        """Removes a file."""
        self.store.remove(name.path)

    @contextmanager
    def lock(self, purpose: str) -> Iterator[None]:
        """Keeps other processes from doing the same; on an object store it does nothing.

        Args:
            purpose: What nobody else may do to this topic meanwhile.

        Raises:
            TrainingError: Another one is doing it, or there can be no lock there.
        """
        if not isinstance(self.store.fs, LocalFileSystem):
            yield
            return
        folder = Path(self.store.root)
        with _lock_file(folder, purpose) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                file.seek(0)
                raise TrainingError(
                    f"expected to be the only one to {purpose} in {folder}, got {file.read()}. Stop that "
                    "process, or wait for its end"
                ) from exc
            file.truncate(0)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            file.write(f"{who()}, pid {os.getpid()}, since {now}")
            file.flush()
            yield

    def _paths(self) -> list[str]:
        """All files, relative to the folder."""
        fs, root = self.store.fs, self.store.root
        fs.invalidate_cache()
        return [path[len(root) + 1 :] for path in fs.find(root)] if fs.exists(root) else []

    def _part_of_merged(self, name: FileName) -> bytes:
        """What a file that is gone has become a part of, cut down to it.

        Raises:
            FileNotFoundError: There is no such file.
        """
        folder = name.path.rpartition("/")[0]
        beside = (FileName.parse(f"{folder}/{file}") for file in self.store.folder(folder).files())
        around = [one for one in beside if one is not None and one.contains(name)]
        if not around:
            raise FileNotFoundError(f"[Errno 2] No such file: {self.where(name)!r}")
        merged = max(around, key=lambda one: one.next - one.first)
        merged_facts, facts = (Facts.of(self.topic, one, self.buckets) for one in (merged, name))
        return cut(self.read(merged), merged_facts, facts, self.where(merged))


def _describe(url: str) -> Description | None:
    """What an archive says about itself, None when there is none."""
    try:
        data = Store.open(url).read(_DESCRIPTION, _DESCRIPTION_BYTES_MAX)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise TrainingError(f"{url}: expected an archive that can be read, {exc}") from exc
    try:
        found = msgspec.json.decode(data, type=Description)
    except NO_JSON as exc:
        raise TrainingError(f"expected the archive's facts in {url}/{_DESCRIPTION}, {exc}") from exc
    if found.format != FORMAT:
        raise TrainingError(
            f"expected an archive of format {FORMAT} in {url}, got {found.format}. Use the version "
            "of Opportune that wrote it"
        )
    return found


def _lock_file(folder: Path, purpose: str) -> IO[str]:
    """The file to be locked, in a folder that is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sync(folder.parent)
        return (folder / f".{purpose}.lock").open("a+")
    except OSError as exc:
        raise TrainingError(f"{folder}: expected to {purpose} there, {exc}") from exc


def _sync(folder: Path) -> None:
    """Makes what was created in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
