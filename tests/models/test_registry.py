"""The registry: versions, pointers, names, history, on disk and on an object store."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from models.bundle import Bundle
from models.errors import BundleError, RegistryError
from models.registry import Registry
from models.store import Store
from tests.models.registry_harness import make_bundle, new_registry, pointers


@pytest.fixture(params=["local", "object store"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    return new_registry(request.param, tmp_path)


def test_an_empty_registry_has_nothing(registry: Registry) -> None:
    assert registry.versions() == []
    assert pointers(registry) == (None, None)
    assert registry.history() == []
    with pytest.raises(RegistryError, match="expected a"):
        registry.rollback()
    with pytest.raises(RegistryError, match="expected a published version, got none"):
        registry.resolve("latest")


def test_a_registry_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="got no such folder"):
        Registry(tmp_path / "typo").rollback()
    assert not (tmp_path / "typo").exists()


def test_versions_sort_by_age_and_name_their_content(registry: Registry) -> None:
    published = [registry.publish(make_bundle(age)) for age in (30, 2, 1)]
    assert registry.versions() == sorted(published) == published[::-1]
    assert published[1].startswith("20261124T124512Z-")
    assert make_bundle(bias=1.0).manifest.version != make_bundle().manifest.version


def test_a_published_bundle_comes_back_byte_for_byte(registry: Registry) -> None:
    bundle = make_bundle(bias=0.1)
    loaded = registry.load(registry.publish(bundle))
    assert loaded.manifest == bundle.manifest
    assert loaded.files == bundle.files
    assert loaded.files["report.md"] == b"#"
    assert loaded.weights["choice/bias"].tobytes() == np.full(2, 0.1, "<f4").tobytes()


def test_publishing_twice_changes_nothing(registry: Registry) -> None:
    assert registry.publish(make_bundle()) == registry.publish(make_bundle())
    assert len(registry.versions()) == 1


def test_promote_rollback_and_forward_again(registry: Registry) -> None:
    old, new = registry.publish(make_bundle(0)), registry.publish(make_bundle(1))
    registry.promote(old)
    assert pointers(registry) == (old, None)
    registry.promote(new)
    assert pointers(registry) == (new, old)
    registry.promote(new)
    assert pointers(registry) == (new, old), "promoting the champion must not lose previous"
    assert registry.rollback() == old
    assert pointers(registry) == (old, new)
    assert registry.rollback() == new


@pytest.mark.parametrize("version", ["../evil", "20261124T104512Z-0123456", "", "/etc", "a\n"])
def test_names_that_are_no_version_are_refused(registry: Registry, version: str) -> None:
    with pytest.raises(RegistryError, match="expected a version name"):
        registry.load(version)


def test_a_version_that_is_not_there_is_not_promoted(registry: Registry) -> None:
    champion = registry.publish(make_bundle())
    registry.promote(champion)
    with pytest.raises(BundleError, match=r"expected a file manifest\.json, got none"):
        registry.promote("20300101T000000Z-00000000")
    assert pointers(registry) == (champion, None)


def test_a_damaged_version_is_neither_promoted_nor_rolled_back_to(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    old, new = registry.publish(make_bundle(0)), registry.publish(make_bundle(1))
    registry.promote(old)
    registry.promote(new)
    (tmp_path / "versions" / old / "weights.f32").write_bytes(b"")
    with pytest.raises(BundleError, match="expected 24 bytes, got 0"):
        registry.rollback()
    with pytest.raises(BundleError, match="expected 24 bytes, got 0"):
        registry.promote(old)
    assert pointers(registry) == (new, old)


def test_a_version_under_another_name_is_refused(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    version = registry.publish(make_bundle())
    other = "20300101T000000Z-00000000"
    (tmp_path / "versions" / version).rename(tmp_path / "versions" / other)
    with pytest.raises(BundleError, match=f"expected version {other}"):
        registry.load(other)


def test_a_pointer_with_anything_else_in_it_is_refused(tmp_path: Path) -> None:
    for content in (b"../../etc/passwd", b"\xff\x00", b"", b"2" * 10_000):
        (tmp_path / "champion").write_bytes(content)
        with pytest.raises(RegistryError, match="champion: expected a version name"):
            Registry(tmp_path).pointer("champion")


def test_another_bundle_never_takes_the_place_of_one(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    folder = tmp_path / "versions" / registry.publish(make_bundle())
    with pytest.raises(BundleError, match="bundles are never overwritten"):
        make_bundle(bias=2.0).save(folder)
    assert Bundle.load(folder).manifest == make_bundle().manifest


# --- the history


def test_the_history_says_who_moved_the_champion_and_why(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "mia")
    old, new = (registry.publish(make_bundle(age)) for age in range(2))
    registry.promote(old, why="the first")
    registry.promote(new, over=old, why="log_loss better by 0.01")
    registry.rollback("sales fell")
    moves = registry.history()
    assert [(m.number, m.action, m.before, m.champion, m.why) for m in moves] == [
        (1, "promote", None, old, "the first"),
        (2, "promote", old, new, "log_loss better by 0.01"),
        (3, "rollback", new, old, "sales fell"),
    ]
    assert all(move.by.startswith("mia@") for move in moves)
    assert abs(moves[0].time - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize("damage", ["changed", "removed", "unreadable"])
def test_a_changed_history_gives_itself_away_and_stops_nobody(tmp_path: Path, damage: str) -> None:
    registry = Registry(tmp_path)
    versions = [registry.publish(make_bundle(age)) for age in range(3)]
    for version in versions:
        registry.promote(version, why="because")
    entry = tmp_path / "history" / "000002.json"
    if damage == "removed":
        entry.unlink()
    else:
        new = b"\xff" if damage == "unreadable" else entry.read_bytes().replace(b"because", b"so")
        entry.write_bytes(new)
    with pytest.raises(RegistryError, match=r"history/00000\d\.json: .* history was changed"):
        registry.history()
    (tmp_path / "history" / "000003.json").write_bytes(b"no JSON")
    assert registry.rollback() == versions[1]


def test_a_user_without_a_name_can_promote(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr("getpass.getuser", nameless)
    registry.promote(registry.publish(make_bundle()))
    assert registry.history()[0].by[0].isdigit()


# --- names, reports, old versions


def test_names_mean_versions(registry: Registry) -> None:
    old, new = registry.publish(make_bundle(0)), registry.publish(make_bundle(24))
    registry.promote(old)
    registry.promote(new)
    names = ("champion", "previous", "latest", old, "20261124", new[:-1])
    assert [registry.resolve(name) for name in names] == [new, old, new, old, old, new]
    for name in ("", "2026", "winner", f"{old}x", "../versions"):
        with pytest.raises(RegistryError, match=f"there are .*{new}"):
            registry.resolve(name)


def test_a_report_comes_back_verified(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    manifest = registry.manifest(registry.publish(make_bundle()))
    assert manifest == make_bundle().manifest
    assert registry.report(manifest, "report.md") == b"#"
    assert registry.report(manifest) is None
    file = tmp_path / "versions" / manifest.version / "report.md"
    for data in (b"!", b"# and more", b""):
        file.write_bytes(data)
        with pytest.raises(BundleError, match=r"report\.md: expected the file"):
            registry.report(manifest, "report.md")
    file.unlink()
    with pytest.raises(BundleError, match=r"expected a file report\.md, got none"):
        registry.report(manifest, "report.md")


def test_old_versions_are_pruned_and_pointers_kept(registry: Registry) -> None:
    versions = [registry.publish(make_bundle(age)) for age in range(7)]
    registry.promote(versions[1])
    registry.promote(versions[3])
    assert registry.prune(keep=2) == [versions[i] for i in (0, 2, 4)]
    assert registry.versions() == [versions[i] for i in (1, 3, 5, 6)]
    assert all(registry.load(version) for version in registry.versions())
    assert registry.prune(keep=2) == []
    with pytest.raises(ValueError, match="keep 1 version at least"):
        registry.prune(keep=0)
    assert registry.publish(make_bundle(2)) == versions[2]
    registry.load(versions[2])


def test_a_registry_is_tried_before_the_work(registry: Registry, tmp_path: Path) -> None:
    registry.expect_writable()
    assert registry.versions() == []
    assert registry.history() == []
    assert pointers(registry) == (None, None)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    version = registry.publish(make_bundle())
    registry.promote(version)
    registry.expect_writable()
    assert registry.load(version).files == make_bundle().files
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        Registry(tmp_path / "file" / "registry").expect_writable()


def test_a_store_may_be_written_by_who_may_not_delete(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Store, "remove", forbidden)
    registry.expect_writable()
    version = registry.publish(make_bundle())
    registry.promote(version)
    assert registry.versions() == [version]
    assert [move.champion for move in registry.history()] == [version]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("s3://bucket/models", r'Install it with the extra: pip install "opportune\[s3\]"'),
        ("gs://bucket/models", r'Install it with the extra: pip install "opportune\[gcs\]"'),
        ("floppy://models", "of a kind that is installed, got floppy://models: .*floppy"),
    ],
)
def test_a_url_without_its_package_says_what_to_install(
    url: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("s3fs", "gcsfs"):
        monkeypatch.setitem(sys.modules, package, None)  # though it may be installed
    with pytest.raises(OSError, match=says):
        Registry(url)


def test_errors_of_a_client_are_errors_of_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoCredentialsError(Exception):
        """botocore has errors that are no `OSError`."""

    def asked(*_: object, **__: object) -> None:
        raise NoCredentialsError("Unable to locate credentials")

    registry = Registry("memory://bucket/models")
    for name in ("cat_file", "pipe_file", "find", "rm", "rm_file"):
        monkeypatch.setattr(f"fsspec.implementations.memory.MemoryFileSystem.{name}", asked)
    store = Store.open("memory://bucket/models")
    for ask in (
        lambda: registry.pointer("champion"), registry.versions, registry.history,
        registry.expect_writable, lambda: store.create("a", b""), lambda: store.remove("a"),
        lambda: store.remove_folder("a"),
    ):  # fmt: skip
        with pytest.raises(OSError, match=r"bucket/models.*NoCredentialsError: Unable to locate"):
            ask()
