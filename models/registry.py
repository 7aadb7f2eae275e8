"""Published bundles and the pointers that say which one is used.

Layout below the registry's folder:
    versions/<version>/manifest.json, weights.f32, golden.f32, report.*
    champion, challenger, previous      one version name each

Rules of this file
1. The champion is a published, verified bundle at every moment, whatever crashes when.
2. A pointer moves by one atomic write. Two operators at once: the last write wins, both are valid.
3. Versions are never changed and never removed here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from models.bundle import Bundle
from models.errors import BundleError, RegistryError
from models.manifest import MANIFEST, VERSION_PATTERN
from models.store import Store

Pointer = Literal["champion", "challenger", "previous"]
_POINTER_BYTES_MAX = 64


class Registry:
    """A registry of bundles on a local path or an object store."""

    def __init__(self, url: str | Path) -> None:
        """Opens a registry; nothing is read and the folder need not exist.

        Args:
            url: A local path or an fsspec URL such as s3://bucket/models.
        """
        self.url = str(url)
        self._root = Store.open(url)
        self._versions = self._root.folder("versions")

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
        if not re.fullmatch(VERSION_PATTERN, version):
            raise RegistryError(f"{self.url}: expected a version name, got {version!r}")
        bundle = Bundle.load_from(self._versions.folder(version))
        if bundle.manifest.version != version:
            raise BundleError(
                f"{self.url}: expected version {version} in the folder of this name, "
                f"got {bundle.manifest.version}"
            )
        return bundle

    def pointer(self, name: Pointer) -> str | None:
        """The version that a pointer names, None when it is not set.

        Raises:
            RegistryError: The pointer holds something else than a version name.
            OSError: The store cannot be reached.
        """
        try:
            data = self._root.read(name, _POINTER_BYTES_MAX)
        except FileNotFoundError:
            return None
        version = data.decode("ascii", errors="replace").strip()
        if not re.fullmatch(VERSION_PATTERN, version):
            raise RegistryError(f"{self.url}/{name}: expected a version name, got {version!r}")
        return version

    def challenge(self, version: str) -> None:
        """Makes a version the challenger.

        Raises:
            RegistryError, BundleError: As `load`; the pointer stands where it was.
            OSError: The store cannot be reached or refuses.
        """
        self.load(version)
        self._point("challenger", version)

    def promote(self, version: str) -> None:
        """Makes a version the champion and the champion the previous.

        Raises:
            RegistryError, BundleError: As `load`; the pointers stand where they were.
            OSError: The store cannot be reached or refuses; the champion is the old or the new.
        """
        self.load(version)
        champion = self.pointer("champion")
        if champion == version:
            return
        if champion is not None:
            self._point("previous", champion)
        self._point("champion", version)
        if self.pointer("challenger") == version:
            self._root.remove("challenger")

    def rollback(self) -> str:
        """Swaps champion and previous and returns the new champion.

        Raises:
            RegistryError: There is no other previous version.
            BundleError: The previous bundle is damaged; the pointers stand where they were.
            OSError: The store cannot be reached or refuses; the champion is the old or the new.
        """
        champion, previous = self.pointer("champion"), self.pointer("previous")
        if champion is None or previous is None or champion == previous:
            raise RegistryError(
                f"{self.url}: expected a champion and another previous version to roll back to, "
                f"got champion {champion} and previous {previous}"
            )
        self.load(previous)
        self._point("champion", previous)
        self._point("previous", champion)
        return previous

    def _point(self, name: Pointer, version: str) -> None:
        self._root.write(name, f"{version}\n".encode("ascii"))
