"""Published bundles and the pointers that say which one is used.

Layout below the registry's folder:
    versions/<version>/manifest.json, weights.f32, golden.f32, report.*
    champion, previous                  one version name each
    history/000001.json, ...            who moved the champion, when and why

Rules of this file
1. The champion is a published, verified bundle at every moment, whatever crashes when.
2. The champion is the truth, the history tells of it. A pointer moves by one atomic write. The
   champion moves before `previous`; the next move makes up for a crash between the two, by the history.
3. On a local path moves come one after the other. On an object store two moves at once are told
   apart by the number of their history entry, which only one of them can create.
4. Versions are never changed; only `prune` removes them, and never one that a pointer names.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import EllipsisType
from typing import Literal

from models.bundle import Bundle, read_manifest
from models.errors import BundleError, RegistryError
from models.manifest import MANIFEST, VERSION_PATTERN, Manifest
from models.promotions import Action, History, Move, Tail
from models.store import Store

Pointer = Literal["champion", "previous"]
POINTERS: tuple[Pointer, ...] = ("champion", "previous")
_POINTER_BYTES_MAX = 64
_UNDER_WAY = timedelta(seconds=60)
"""A move on an object store takes two or three puts; one that is older was broken off."""


class Registry:
    """A registry of bundles on a local path or an object store."""

    def __init__(self, url: str | Path) -> None:
        """Nothing is read yet; `url` is a local path or an fsspec URL such as s3://bucket/models.

        Raises:
            OSError: There is no package installed for URLs of this kind.
        """
        self.url = str(url)
        self._root = Store.open(url)
        self._versions = self._root.folder("versions")
        self._history = History(self._root.folder("history"))

    def expect_writable(self) -> None:
        """Makes the folders of a new registry and writes to them; errors as `Store.probe`."""
        for folder in (self._root, self._versions, self._root.folder("history")):
            folder.probe()

    def publish(self, bundle: Bundle) -> str:
        """Adds a bundle and returns its version; publishing it again changes nothing.

        Raises:
            BundleError: Another bundle has this version.
            OSError: The store cannot be reached or refuses; the version is not published.
        """
        bundle.save_to(self._versions.folder(bundle.manifest.version))
        return bundle.manifest.version

    def versions(self) -> list[str]:
        """Every published version, the oldest first."""
        names = self._versions.holding(MANIFEST)
        return [name for name in names if re.fullmatch(VERSION_PATTERN, name)]

    def load(self, version: str) -> Bundle:
        """A published bundle, verified.

        Raises:
            RegistryError: `version` is no version name.
            BundleError: It is not published, damaged or changed.
            OSError: The store cannot be reached.
        """
        bundle = Bundle.load_from(self._folder(version))
        self._expect_version(version, bundle.manifest)
        return bundle

    def manifest(self, version: str) -> Manifest:
        """What a published bundle is, without its other files; errors as `load`."""
        manifest = read_manifest(self._folder(version))
        self._expect_version(version, manifest)
        return manifest

    def report(self, manifest: Manifest, name: str = "report.json") -> bytes | None:
        """A report of a published bundle, verified; None when it has none of this name.

        Raises:
            BundleError: It is missing, damaged or changed.
            OSError: The store cannot be reached.
        """
        if (entry := manifest.files.get(name)) is None:
            return None
        folder = self._folder(manifest.version)
        try:
            data = folder.read(name, entry.bytes)
        except FileNotFoundError as exc:
            raise BundleError(f"{folder.root}: expected a file {name}, got none") from exc
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise BundleError(
                f"{folder.root}/{name}: expected the file in the manifest, got another"
            )
        return data

    def resolve(self, name: str) -> str:
        """The version that a name means: a pointer, "latest", or the beginning of one version.

        Raises:
            RegistryError: It means none, or several; the message lists what there is.
            OSError: The store cannot be reached.
        """
        if name in POINTERS:
            if (version := self.pointer(name)) is None:
                raise RegistryError(f"{self.url}: expected a {name}, got none")
            return version
        versions = self.versions()
        if not versions:
            raise RegistryError(f"{self.url}: expected a published version, got none")
        if name == "latest":
            return versions[-1]
        found = [version for version in versions if name and version.startswith(name)]
        if len(found) == 1:
            return found[0]
        raise RegistryError(
            f"{self.url}: expected {', '.join(POINTERS)}, latest or the beginning of one version, "
            f"got {name!r}; there are {', '.join((found or versions)[-8:])}"
        )

    def pointer(self, name: Pointer) -> str | None:
        """The version that a pointer names, None when it is not set.

        Raises:
            RegistryError: The pointer holds something else than a version name.
            OSError: The store cannot be reached.
        """
        if (version := self._written(name)) is None or re.fullmatch(VERSION_PATTERN, version):
            return version
        raise RegistryError(
            f"{self.url}/{name}: expected a version name, got {version!r}. Put one of the versions "
            "into this file, or remove it"
        )

    def history(self) -> list[Move]:
        """Every move of the champion, the oldest first; errors as `History.moves`."""
        return self._history.moves()

    def promote(self, version: str, over: str | EllipsisType | None = ..., why: str = "") -> None:
        """Makes a version the champion and the champion the previous.

        With `over` it is a compare-and-set: of several who promote over the same champion one
        succeeds. On a local path that is exact: the kernel's lock is held from the comparison to
        the last write, and ends with the process. On an object store with conditional puts it holds
        unless a process pauses for a minute between its history entry and its pointers: then its
        version, which is valid, may come over a later one. Without conditional puts, two within
        the time between a look and a write may both succeed.

        Args:
            version: A published version.
            over: The champion that it was compared with, None for none; whoever it is when not
                given: the last one wins.
            why: For the history.

        Raises:
            RegistryError: The champion is not `over`; or as `load`. The pointers stand.
            BundleError: As `load`; the pointers stand where they were.
            OSError: The store cannot be reached or refuses; the champion is the old or the new.
        """
        with self._lock():
            before = self._claim("promote", lambda _: self.load(version), over, why)[1]
            if before == version:
                return
            self._point("champion", version)
            if before is not None:
                self._point("previous", before)

    def rollback(self, why: str = "") -> str:
        """Swaps champion and previous and returns the new champion.

        Raises:
            RegistryError: There is no other previous version.
            BundleError: The previous bundle is damaged; the pointers stand where they were.
            OSError: The store cannot be reached or refuses; the champion is the old or the new.
        """
        with self._lock():
            version, before = self._claim("rollback", self._load_previous, ..., why)
            self._point("champion", version)
            self._point("previous", before or version)
        return version

    def prune(self, keep: int) -> list[str]:
        """Removes all but the newest versions, and those that a pointer names; returns their names.

        The manifest goes first: a version is there with all its files or not at all. On an object
        store an old version must not be promoted meanwhile.

        Raises:
            ValueError: keep is below 1: the newest version may be one that is about to be promoted.
            OSError: The store cannot be reached or refuses; a part may have been removed.
        """
        if keep < 1:
            raise ValueError(f"expected to keep 1 version at least, got {keep}")
        with self._lock():
            kept = {self.pointer(name) for name in POINTERS}
            gone = [version for version in self.versions()[:-keep] if version not in kept]
            for version in gone:
                self._versions.folder(version).remove(MANIFEST)
                self._versions.remove_folder(version)
        return gone

    @contextmanager
    def _lock(self) -> Iterator[None]:
        if self._root.local and not Path(self._root.root).is_dir():
            raise RegistryError(f"{self.url}: expected a registry, got no such folder")
        with self._root.lock():
            self._finish_last_move()
            yield

    def _finish_last_move(self) -> None:
        """Sets `previous` where a crash came between the champion and it; else changes nothing."""
        before = self._history.tail().before(self.pointer("champion"))
        if before is not None and self._written("previous") != before:
            self._point("previous", before)

    def _claim(
        self, action: Action, choose: Callable[[str | None], Bundle],
        over: str | EllipsisType | None, why: str,
    ) -> tuple[str, str | None]:  # fmt: skip
        """Enters a move in the history, which makes it the next one; gives new and old champion.

        The end of the history is read before the champion: a move in between takes the number.
        """
        while True:
            tail = self._history.tail()
            champion = self.pointer("champion")
            version = choose(champion).manifest.version
            if version == champion:
                return version, champion
            if over is not ...:
                self._expect_champion(over, champion, tail)
            try:
                self._history.append(tail, action, version, champion, why)
            except FileExistsError:
                continue  # somebody else was faster: everything is looked at again
            return version, champion

    def _load_previous(self, champion: str | None) -> Bundle:
        previous = self.pointer("previous")
        if champion is None or previous is None or champion == previous:
            raise RegistryError(
                f"{self.url}: expected a champion and another previous version to roll back to, "
                f"got champion {champion} and previous {previous}"
            )
        return self.load(previous)

    def _expect_champion(self, over: str | None, champion: str | None, tail: Tail) -> None:
        last = tail.move()
        if not self._root.local and last is not None and last.champion != champion:
            # Who read the pointer before it moved would compare with a champion of yesterday.
            age = datetime.now(UTC) - last.time
            if age < _UNDER_WAY:
                raise RegistryError(
                    f"{self.url}: expected {over or 'no champion'} to stay, but {last.by} began to "
                    f"promote {last.champion} {age.total_seconds():.0f} s ago. Compare with that "
                    "one, or try again in a minute if that was broken off"
                )
        if champion != over:
            raise RegistryError(
                f"{self.url}: expected the champion to be {over or 'none'}, which was compared "
                f"with, got {champion or 'none'}: it has moved since. Compare with that one"
            )

    def _folder(self, version: str) -> Store:
        if not re.fullmatch(VERSION_PATTERN, version):
            raise RegistryError(f"{self.url}: expected a version name, got {version!r}")
        return self._versions.folder(version)

    def _expect_version(self, version: str, manifest: Manifest) -> None:
        if manifest.version != version:
            raise BundleError(
                f"{self.url}: expected version {version} in the folder of this name, "
                f"got {manifest.version}"
            )

    def _written(self, name: Pointer) -> str | None:
        try:
            data = self._root.read(name, _POINTER_BYTES_MAX)
        except FileNotFoundError:
            return None
        return data.decode("ascii", errors="replace").strip()

    def _point(self, name: Pointer, version: str) -> None:
        self._root.write(name, f"{version}\n".encode("ascii"))
