"""The registry and its pointers, on disk and on an object store, through crashes and races."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from models.bundle import Bundle, Fit, Golden
from models.contract import FeatureContract, Normalization
from models.errors import BundleError, RegistryError
from models.manifest import DataWindow, NetworkConfig
from models.registry import Registry

START = datetime(2026, 11, 24, 10, 45, 12, tzinfo=UTC)


def make_bundle(age: int = 0, bias: float = 0.0) -> Bundle:
    """A bundle that no network has seen: the registry does not look at the numbers."""
    return Bundle.create(
        contract=FeatureContract(("recency", "count"), "[]"),
        normalization=Normalization.identity(2),
        strategies=("mail", "nothing"),
        network=NetworkConfig(network="linear", head="choice", inputs=2, outputs=2),
        weights={
            "choice/kernel": np.eye(2, dtype=np.float32),
            "choice/bias": np.full(2, bias, np.float32),
        },
        golden=Golden(np.zeros((3, 2), np.float32), np.full((3, 2), 0.5, np.float32)),
        fit=Fit(
            START + timedelta(hours=age), DataWindow(0, 1), seed=0, reports={"report.md": b"#"}
        ),
    )


@pytest.fixture(params=["local", "object store"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    if request.param == "local":
        return Registry(tmp_path / "registry")
    return Registry(f"memory://{tmp_path.name}/registry")


def pointers(registry: Registry) -> tuple[str | None, str | None, str | None]:
    return (
        registry.pointer("champion"),
        registry.pointer("challenger"),
        registry.pointer("previous"),
    )


def test_an_empty_registry_has_nothing(registry: Registry) -> None:
    assert registry.versions() == []
    assert pointers(registry) == (None, None, None)
    with pytest.raises(RegistryError, match="got champion None and previous None"):
        registry.rollback()


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
    assert pointers(registry) == (old, None, None)
    registry.challenge(new)
    assert pointers(registry) == (old, new, None)
    registry.promote(new)
    assert pointers(registry) == (new, None, old)
    registry.promote(new)
    assert pointers(registry) == (new, None, old), "promoting the champion must not lose previous"
    assert registry.rollback() == old
    assert pointers(registry) == (old, None, new)
    assert registry.rollback() == new


@pytest.mark.parametrize("version", ["../evil", "20261124T104512Z-0123456", "", "/etc", "a\n"])
def test_names_that_are_no_version_are_refused(registry: Registry, version: str) -> None:
    with pytest.raises(RegistryError, match="expected a version name"):
        registry.load(version)


def test_a_version_that_is_not_there_is_not_promoted(registry: Registry) -> None:
    champion = registry.publish(make_bundle())
    registry.promote(champion)
    for move in (registry.promote, registry.challenge):
        with pytest.raises(BundleError, match=r"expected a file manifest\.json, got none"):
            move("20300101T000000Z-00000000")
    assert pointers(registry) == (champion, None, None)


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
    assert pointers(registry) == (new, None, old)


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


class Crash(BaseException):
    """The process ends here."""


def crash_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Lets `step` renames happen and dies before the next, leaving the temporary file behind."""
    rename, done = Path.replace, 0

    def replace(self: Path, target: Path) -> Path:
        nonlocal done
        if done == step:
            monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
            raise Crash
        done += 1
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", replace)


@pytest.mark.parametrize("step", [0, 1])
def test_a_crash_inside_promote_leaves_a_champion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    registry = Registry(tmp_path)
    first, second, third = (registry.publish(make_bundle(age)) for age in range(3))
    registry.promote(first)
    registry.promote(second)
    with monkeypatch.context() as patch:
        crash_at(patch, step)
        with pytest.raises(Crash):
            registry.promote(third)
    assert registry.pointer("champion") == second
    assert registry.load(second).manifest.version == second
    registry.promote(third)
    assert pointers(registry) == (third, None, second)


@pytest.mark.parametrize(("step", "champion"), [(0, 1), (1, 0)])
def test_a_crash_inside_rollback_leaves_a_champion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, champion: int
) -> None:
    registry = Registry(tmp_path)
    versions = [registry.publish(make_bundle(age)) for age in range(2)]
    for version in versions:
        registry.promote(version)
    with monkeypatch.context() as patch:
        crash_at(patch, step)
        with pytest.raises(Crash):
            registry.rollback()
    assert registry.pointer("champion") == versions[champion]
    registry.load(versions[champion])


@pytest.mark.parametrize("step", range(4))
def test_a_crash_inside_publish_shows_no_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    registry = Registry(tmp_path)
    with monkeypatch.context() as patch:
        crash_at(patch, step)
        with pytest.raises(Crash):
            registry.publish(make_bundle())
    assert registry.versions() == []
    version = registry.publish(make_bundle())
    assert registry.versions() == [version]
    assert registry.load(version).files == make_bundle().files


def test_a_failed_write_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(tmp_path)
    version = registry.publish(make_bundle())

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("models.store.os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            registry.promote(version)
    assert registry.pointer("champion") is None
    assert [path.name for path in tmp_path.iterdir()] == ["versions"]


def test_publishers_and_operators_at_the_same_time(registry: Registry) -> None:
    """Eight publishers of three bundles, two of them the same, while others promote."""
    ages = [0, 0, 0, 1, 1, 2, 2, 2]
    barrier = threading.Barrier(len(ages))
    failures: list[BaseException] = []

    def publish(age: int) -> None:
        try:
            bundle = make_bundle(age)
            barrier.wait()
            for _ in range(5):
                registry.promote(registry.publish(bundle))
                registry.load(registry.pointer("champion") or "")
        except BaseException as exc:  # noqa: BLE001  a thread has nobody else to tell
            failures.append(exc)

    threads = [threading.Thread(target=publish, args=(age,)) for age in ages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    expected = sorted(make_bundle(age).manifest.version for age in range(3))
    assert registry.versions() == expected
    assert registry.pointer("champion") in expected
