"""A model that can be published: manifest, weights, a golden batch and reports, never code.

Rules of this file
1. Immutable and self-contained. The manifest is written last: a folder without one is no bundle.
2. No file is looked into before its size and hash are those of the manifest.
3. Numbers are raw float32 with names and shapes in the manifest, so there is no format to attack:
   neither pickle, HDF5, zip nor Keras archive is ever opened.
4. What `create` accepts, `load` accepts: both end in `_checked`.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from models.arrays import entries, pack, unpack
from models.contract import FeatureContract, Float32s, Normalization
from models.errors import NO_JSON, BundleError
from models.manifest import (
    GOLDEN,
    MANIFEST,
    MANIFEST_BYTES_MAX,
    WEIGHTS,
    ArrayEntry,
    DataWindow,
    FileEntry,
    Manifest,
    NetworkConfig,
    NormalizationEntry,
    encode,
    version_of,
)
from models.store import Store

_LIBRARIES = ("keras", "tensorflow", "numpy")


@dataclass(frozen=True, eq=False)
class Golden:
    """Inputs with the outputs that they must give, so that a loaded model proves itself.

    Attributes:
        inputs: Normalized feature vectors, as the network eats them. Shape (n, F), float32.
        outputs: Shape (n, K), float32.
    """

    inputs: Float32s
    outputs: Float32s


@dataclass(frozen=True, eq=False)
class Fit:
    """How a model came about.

    Attributes:
        created: With a time zone; kept in UTC to the second.
        window: The data it was fitted on.
        judged_window: That of the model that was judged, when this one was fitted anew afterwards, with the same
            settings; else None.
        seed: Of initialisation and shuffling.
        metrics: Evaluation results, all finite.
        reports: Files for people, named report.json, report.md and so on.
    """

    created: datetime
    window: DataWindow
    seed: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    reports: Mapping[str, bytes] = field(default_factory=dict)
    judged_window: DataWindow | None = None

    def __post_init__(self) -> None:
        if self.created.tzinfo is None:
            raise ValueError(f"expected created with a time zone, got {self.created.isoformat()}")


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified bundle in memory.

    Attributes:
        manifest: What it is.
        files: Every file but the manifest, as it stands on disk.
        weights: Read-only arrays by variable name, as `models.network.weights` names them.
        golden: The batch that it must reproduce.
    """

    manifest: Manifest
    files: Mapping[str, bytes]
    weights: Mapping[str, Float32s]
    golden: Golden

    @property
    def normalization(self) -> Normalization:
        """Constants that the feature kernel applies before the network."""
        return self.manifest.normalization.arrays()

    @classmethod
    def create(
        cls,
        *,
        contract: FeatureContract,
        normalization: Normalization,
        strategies: tuple[str, ...],
        network: NetworkConfig,
        weights: Mapping[str, Float32s],
        golden: Golden,
        fit: Fit,
        untrained: tuple[str, ...] = (),
    ) -> Bundle:
        """A new bundle, its version made of the time and the content.

        Raises:
            BundleError: The parts do not fit together.
        """
        created = fit.created.astimezone(UTC).replace(microsecond=0)
        pairs = {"inputs": golden.inputs, "outputs": golden.outputs}
        files = {**fit.reports, WEIGHTS: pack(weights), GOLDEN: pack(pairs)}
        arrays = {WEIGHTS: entries(weights), GOLDEN: entries(pairs)}
        draft = {
            "version": f"{created:%Y%m%dT%H%M%SZ}-00000000",
            "created": created,
            "contract": contract,
            "contract_digest": contract.digest,
            "normalization": NormalizationEntry.of(normalization),
            "strategies": strategies,
            "network": network,
            "window": fit.window,
            "judged_window": fit.judged_window,
            "metrics": dict(fit.metrics),
            "seed": fit.seed,
            "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES}
            | {"python": platform.python_version()},
            "files": {name: _entry(data, arrays.get(name, ())) for name, data in files.items()},
            "untrained": untrained,
        }
        where = "the new bundle"
        manifest = _decoded(msgspec.json.encode(draft), where)  # decoding runs every check
        manifest = msgspec.structs.replace(manifest, version=version_of(manifest))
        return _checked(manifest, files, where)

    @classmethod
    def load(cls, url: str | Path) -> Bundle:
        """Reads and verifies a bundle.

        Args:
            url: Its folder, a local path or an fsspec URL.

        Raises:
            BundleError: It is incomplete, damaged, changed or contradicts itself.
            OSError: The store cannot be reached.
        """
        return cls.load_from(Store.open(url))

    @classmethod
    def load_from(cls, folder: Store) -> Bundle:
        """`load` from an opened folder."""
        manifest = read_manifest(folder)
        files = {name: _read(folder, name, entry.bytes) for name, entry in manifest.files.items()}
        return _checked(manifest, files, folder.root)

    def save(self, url: str | Path) -> None:
        """Writes the bundle into a folder of its own; the same bundle may be there already.

        Raises:
            BundleError: Another bundle is there.
            OSError: The store cannot be reached or refuses.
        """
        self.save_to(Store.open(url))

    def save_to(self, folder: Store) -> None:
        """`save` to an opened folder."""
        manifest = msgspec.json.format(encode(self.manifest), indent=2) + b"\n"
        try:
            there = folder.read(MANIFEST, MANIFEST_BYTES_MAX)
        except FileNotFoundError:
            for name, data in self.files.items():
                folder.write(name, data)
            folder.write(MANIFEST, manifest)
            return
        if there != manifest:
            raise BundleError(
                f"{folder.root}: expected no bundle or this very one, version "
                f"{self.manifest.version}, got another; bundles are never overwritten"
            )


def read_manifest(folder: Store) -> Manifest:
    """The manifest of a bundle, without its other files.

    Raises:
        BundleError: It is missing, no manifest, or was changed after it was made.
        OSError: The store cannot be reached.
    """
    where = f"{folder.root}/{MANIFEST}"
    manifest = _decoded(_read(folder, MANIFEST), where)
    if manifest.version != version_of(manifest):
        raise BundleError(
            f"{where}: expected version {version_of(manifest)} from the content, "
            f"got {manifest.version}; the manifest was changed"
        )
    return manifest


def _decoded(data: bytes, where: str) -> Manifest:
    try:
        return msgspec.json.decode(data, type=Manifest)
    except NO_JSON as exc:
        raise BundleError(f"{where}: {exc}") from exc


def _read(folder: Store, name: str, expected_bytes: int | None = None) -> bytes:
    """A whole file that is not longer than allowed; `_checked` finds one that is shorter."""
    bytes_max = MANIFEST_BYTES_MAX if expected_bytes is None else expected_bytes
    try:
        data = folder.read(name, bytes_max)
    except FileNotFoundError as exc:
        raise BundleError(f"{folder.root}: expected a file {name}, got none") from exc
    if len(data) > bytes_max:
        raise BundleError(f"{folder.root}/{name}: expected {bytes_max} bytes at most, got more")
    return data


def _checked(manifest: Manifest, files: Mapping[str, bytes], where: str) -> Bundle:
    """Hash and size first, then shapes, then numbers; only then a bundle."""
    for name, entry in manifest.files.items():
        data = files[name]
        if len(data) != entry.bytes:
            raise BundleError(f"{where}/{name}: expected {entry.bytes} bytes, got {len(data)}")
        digest = hashlib.sha256(data).hexdigest()
        if digest != entry.sha256:
            raise BundleError(f"{where}/{name}: expected sha256 {entry.sha256}, got {digest}")
    weights = unpack(files[WEIGHTS], manifest.files[WEIGHTS].arrays, f"{where}/{WEIGHTS}")
    golden = unpack(files[GOLDEN], manifest.files[GOLDEN].arrays, f"{where}/{GOLDEN}")
    return Bundle(manifest, files, weights, _golden(golden, manifest.network, f"{where}/{GOLDEN}"))


def _golden(arrays: Mapping[str, Float32s], network: NetworkConfig, where: str) -> Golden:
    shapes = {name: array.shape for name, array in arrays.items()}
    rows = shapes.get("inputs", (0,))[0]
    expected = {"inputs": (rows, network.inputs), "outputs": (rows, network.outputs)}
    if shapes != expected:
        raise BundleError(f"{where}: expected arrays {expected}, got {shapes}")
    return Golden(arrays["inputs"], arrays["outputs"])


def _entry(data: bytes, arrays: tuple[ArrayEntry, ...]) -> FileEntry:
    return FileEntry(hashlib.sha256(data).hexdigest(), len(data), arrays)
