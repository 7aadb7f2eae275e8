"""Bundles made to hurt: they are refused as any bad one is, before they take memory or time."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import os
import random
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from models.bundle import Bundle
from models.errors import BundleError, RegistryError
from models.manifest import (
    BUNDLE_BYTES_MAX,
    FILE_BYTES_MAX,
    OTHER_BYTES_MAX,
    NetworkConfig,
    version_of,
)
from models.registry import Registry
from models.store import Store
from stream.scoring.champion import ModelWatcher
from tests.models.registry_harness import forge, make_bundle, signed

WEIGHTS, GOLDEN, MANIFEST = "weights.f32", "golden.f32", "manifest.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_bundle().save(tmp_path / "bundle")
    return tmp_path / "bundle"


@contextmanager
def memory_below(mib: float) -> Iterator[None]:
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < mib * 2**20


def sparse(folder: Path, name: str, size: int) -> dict[str, Any]:
    """A file that takes no room on the disk; its entry, with a hash that nobody should look at."""
    (folder / name).touch()
    os.truncate(folder / name, size)
    return {"sha256": "0" * 64, "bytes": size}


def _reports(folder: Path, manifest: dict[str, Any]) -> None:
    for i in range(13):
        name = f"report.{chr(ord('a') + i)}"
        manifest["files"][name] = sparse(folder, name, FILE_BYTES_MAX)


def _small_reports(folder: Path, manifest: dict[str, Any]) -> None:
    manifest["network"] |= {"network": "custom", "builder": "a:b"}
    manifest["files"][WEIGHTS] |= sparse(folder, WEIGHTS, FILE_BYTES_MAX)
    for i in range(5):
        name = f"report.{chr(ord('a') + i)}"
        manifest["files"][name] = sparse(folder, name, OTHER_BYTES_MAX)


def _golden(folder: Path, manifest: dict[str, Any]) -> None:
    manifest["files"][GOLDEN] |= sparse(folder, GOLDEN, OTHER_BYTES_MAX + 16)


def _weights(folder: Path, manifest: dict[str, Any]) -> None:
    manifest["files"][WEIGHTS] |= sparse(folder, WEIGHTS, 4 * (2 * 2 + 2) + 4)


def _file(folder: Path, manifest: dict[str, Any]) -> None:
    manifest["network"] |= {"network": "custom", "builder": "a:b"}
    manifest["files"][WEIGHTS] |= sparse(folder, WEIGHTS, FILE_BYTES_MAX + 4)


def _dimensions(folder: Path, manifest: dict[str, Any]) -> None:
    manifest["files"][WEIGHTS]["arrays"][0]["shape"] = [1] * 65 + [4]


def _wrapping(folder: Path, manifest: dict[str, Any]) -> None:
    """2**64 numbers and 8 more, which 64 bits would take for 8."""
    arrays = [["a", [8192, 8192, 8192, 8192, 4096]], ["b", [2, 4]]]
    manifest["files"][WEIGHTS]["arrays"] = [{"name": n, "shape": s} for n, s in arrays]


OVERSIZED: dict[str, tuple[Callable[[Path, dict[str, Any]], None], str]] = {
    "13 reports of a quarter GiB": (_reports, f"{OTHER_BYTES_MAX} bytes at most"),
    "too much together": (_small_reports, f"all files: expected {BUNDLE_BYTES_MAX}"),
    "golden batch": (_golden, f"{OTHER_BYTES_MAX} bytes at most"),
    "more weights than the network has": (_weights, "expected 16 to 24 bytes"),
    "more weights than any has": (_file, f"<= {FILE_BYTES_MAX}"),
    "65 dimensions": (_dimensions, "length <= 8"),
    "a product that wraps": (_wrapping, "bytes of arrays"),
}


@pytest.mark.parametrize("kind", OVERSIZED)
def test_what_is_too_large_is_refused_by_what_the_manifest_says(folder: Path, kind: str) -> None:
    change, message = OVERSIZED[kind]
    forge(folder, lambda manifest: change(folder, manifest))
    with memory_below(2), pytest.raises(BundleError, match=message):
        Bundle.load(folder)


def test_files_larger_than_their_manifest_says_are_not_read_whole(folder: Path) -> None:
    for name in (WEIGHTS, MANIFEST):
        os.truncate(folder / name, 1 << 40)
        with memory_below(24), pytest.raises(BundleError, match="at most, got more"):
            Bundle.load(folder)


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS])
def test_a_pipe_instead_of_a_file_keeps_nobody_waiting(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(OSError, match="expected a regular file, got p"):
        Bundle.load(folder)


def test_an_endless_file_is_no_pointer(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.publish(make_bundle())
    (tmp_path / "champion").symlink_to("/dev/zero")
    with pytest.raises(OSError, match="expected a regular file, got c"):
        registry.pointer("champion")


def test_a_worker_refuses_it_and_keeps_its_model(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry(tmp_path)
    version = registry.publish(make_bundle())
    folder = tmp_path / "versions" / version
    forge(folder, lambda manifest: _reports(folder, manifest))
    forged = json.loads((folder / MANIFEST).read_bytes())["version"]
    assert forged == version  # no manifest of this content has a version of its own
    (tmp_path / "champion").write_text(version)
    with caplog.at_level(logging.ERROR, "opportune"), memory_below(2):
        assert ModelWatcher(registry, "", set()).check() is None
    assert [record.evt for record in caplog.records] == ["model_refused"]  # type: ignore[attr-defined]


def test_what_a_manifest_says_at_length_is_not_said_at_length(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry(tmp_path)
    bundle = make_bundle()
    manifest = msgspec.structs.replace(bundle.manifest, strategies=("a" * 100_000, "b"))
    manifest = msgspec.structs.replace(manifest, version=version_of(manifest))
    version = registry.publish(Bundle(manifest, bundle.files, bundle.weights, bundle.golden))
    (tmp_path / "champion").write_text(version)
    with caplog.at_level(logging.ERROR, "opportune"):
        digest = manifest.contract_digest
        assert ModelWatcher(registry, digest, {"c"}).check() is None
    assert len(caplog.records[0].getMessage()) < 3_000
    caplog.clear()
    with caplog.at_level(logging.WARNING, "opportune"):
        assert ModelWatcher(registry, digest, {"b"}).check() is not None
    assert [record.evt for record in caplog.records] == ["model_strategies"]  # type: ignore[attr-defined]
    assert len(caplog.records[0].getMessage()) < 3_000


@pytest.mark.parametrize(
    "network",
    [
        {"network": "linear"},
        {"network": "mlp", "hidden": (5, 4)},
        {"network": "dcn", "hidden": (5,), "cross_layers": 2, "cross_rank": 3},
        {"network": "linear", "bins": 4},
        {"network": "dcn", "hidden": (5,), "cross_layers": 2, "cross_rank": 3, "bins": 2},
    ],
)
@pytest.mark.parametrize("head", ["choice", "response"])
def test_the_bound_is_what_the_network_has(network: dict[str, Any], head: str) -> None:
    from models import network as networks

    plain = {"inputs": 7, "outputs": 3, "head": head}
    config = msgspec.convert(network | plain, NetworkConfig)
    assert sum(a.size for a in networks.weights(networks.build(config)).values()) == (
        config.numbers_max
    )


def test_a_history_entry_nested_without_end_is_the_registrys_error(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    version = registry.publish(make_bundle())
    registry.promote(version)
    for content in (b'{"x":' + b"[" * 60_000, b"{" + b" " * (1 << 20)):
        (tmp_path / "history" / "000002.json").write_bytes(content)
        with pytest.raises(RegistryError, match="the history was changed"):
            registry.history()
        assert registry.pointer("champion") == version
        registry.promote(version)  # nor does it keep anybody from a promotion


NASTY: list[Any] = [
    None, True, -1, 0, 1 << 31, 1 << 63, 1 << 64, 1 << 200, 1e308, -0.5, "", "a" * 70_000, "\x1b[2J",
    "../../etc/passwd", [], {}, [[]], [1] * 300, ["a"] * 300, {"": ""}, "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59-23:59", "os:system",
]  # fmt: skip


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every (parent, key) of a JSON document."""
    keys = tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in list(keys):
        yield tree, key
        yield from _places(tree[key])


def _mutated(source: random.Random, manifest: dict[str, Any]) -> bytes:
    """A manifest with a few changes: mostly in its structure, with the version that belongs to it."""
    for _ in range(source.choice((1, 1, 2, 3))):
        parent, key = source.choice(list(_places(manifest)))
        if source.random() < 0.2:
            del parent[key]
        elif isinstance(parent, dict) and source.random() < 0.1:
            parent[source.choice(("", "x", "report.x", "__class__"))] = copy.deepcopy(
                source.choice(NASTY)
            )
        elif type(parent[key]) is int and source.random() < 0.5:
            parent[key] += source.choice((-1, 1, 4, 1 << 28))
        else:
            parent[key] = copy.deepcopy(source.choice(NASTY))
    data = bytearray(signed(manifest))
    if source.random() < 0.3:
        at = source.randrange(len(data))
        data[at : at + source.choice((0, 1, 9))] = source.randbytes(source.choice((0, 1, 3)))
    return bytes(data)


@pytest.mark.slow
def test_2000_mutated_bundles_are_bundles_or_refused_in_bounded_memory(folder: Path) -> None:
    source = random.Random(5)
    there = Store.open(f"memory://{folder.parent.name}")
    first = (folder / MANIFEST).read_bytes()
    numbers = {name: (folder / name).read_bytes() for name in (WEIGHTS, GOLDEN)}
    loaded = 0
    for file in folder.iterdir():
        there.write(file.name, file.read_bytes())
    with memory_below(16):
        for _ in range(2_000):
            manifest = json.loads(first)
            if source.random() < 0.3:
                name = source.choice((WEIGHTS, GOLDEN))
                mutated = bytearray(numbers[name])
                at = source.randrange(len(mutated))
                gone = slice(at, at + source.choice((0, 1, 4)))
                mutated[gone] = source.randbytes(source.choice((1, 4)))
                there.write(name, bytes(mutated))
                manifest["files"][name]["sha256"] = hashlib.sha256(mutated).hexdigest()
                manifest["files"][name]["bytes"] = len(mutated)
                there.write(MANIFEST, signed(manifest))
            else:
                there.write(MANIFEST, _mutated(source, manifest))
            try:
                Bundle.load_from(there)
                loaded += 1
            except BundleError:
                pass
            for name, data in numbers.items():
                there.write(name, data)
    assert loaded > 20  # or the mutations are all too crude
