"""The registry through crashes: at every operation on the store there is a champion, and a way back."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from models import registry as registry_module
from models.errors import RegistryError
from models.registry import Registry
from tests.models.registry_harness import (
    Crash,
    Moment,
    crashing,
    make_bundle,
    new_registry,
    pointers,
)


@pytest.fixture(params=["local", "object store"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    return new_registry(request.param, tmp_path)


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
    names = sorted(path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*"))
    assert set(names) == {".lock", "history", "versions"}
    assert list((tmp_path / "history").iterdir()) == []


COMMANDS: dict[str, Callable[[Registry, list[str]], object]] = {
    "promote": lambda registry, versions: registry.promote(versions[2], over=versions[1]),
    "rollback": lambda registry, versions: registry.rollback(),
    "prune": lambda registry, versions: registry.prune(keep=1),
    "publish": lambda registry, versions: registry.publish(make_bundle(9)),
}


@pytest.mark.parametrize("moment", get_args(Moment))
@pytest.mark.parametrize("command", COMMANDS)
def test_a_crash_at_any_operation_leaves_a_valid_registry(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, command: str, moment: Moment
) -> None:
    for step in range(12):
        registry = Registry(f"{registry.url}-{step}")
        versions = [registry.publish(make_bundle(age)) for age in range(-1, 3)][1:]
        for version in versions[:2]:
            registry.promote(version)
        with crashing(monkeypatch, step, moment):
            try:
                COMMANDS[command](registry, versions)
            except Crash:
                pass
            else:
                break
        champion = registry.pointer("champion")
        allowed = {"promote": versions[1:], "rollback": versions[:2]}.get(command, versions[1:2])
        assert champion in allowed
        for version in {*registry.versions(), champion}:
            registry.load(version)
        registry.history()
        monkeypatch.setattr(registry_module, "_UNDER_WAY", timedelta(0))
        new = registry.publish(make_bundle(10))
        registry.promote(new, over=champion)
        assert pointers(registry) == (new, champion)
    else:
        pytest.fail("the command never came to its end")
    assert step >= 2


MOVES: dict[str, Callable[[Registry, str], object]] = {
    "promote": lambda registry, version: registry.promote(version),
    "rollback": lambda registry, version: registry.rollback(),
    "prune": lambda registry, version: registry.prune(keep=1),
}


BUNDLES = cache(make_bundle)  # making one takes longer than all that is done with it


def broken_off(registry: Registry, move: str, age: int, step: int) -> None:
    """Publishes a new version and makes a move that dies before operation `step`."""
    version = registry.publish(BUNDLES(age))
    with (
        suppress(Crash, RegistryError),  # the latter when there is nothing to go back to yet
        pytest.MonkeyPatch.context() as patch,
        crashing(patch, step),
    ):
        MOVES[move](registry, version)


@pytest.mark.parametrize("live", [1, 2], ids=["the first champion", "a second one"])
@pytest.mark.parametrize("second", MOVES)
@pytest.mark.parametrize("first", MOVES)
def test_after_crashes_at_any_operation_a_rollback_goes_one_champion_back(
    tmp_path: Path, first: str, second: str, live: int
) -> None:
    """Two moves, each of which dies at some operation or comes to its end."""
    for i, j in itertools.product(range(5), repeat=2):
        MemoryFileSystem.store.clear()  # listings look at all that it holds
        registry = Registry(f"memory://{tmp_path.name}")
        champions: list[str | None] = []
        for age in range(live):
            registry.promote(registry.publish(BUNDLES(age)))
            champions.append(registry.pointer("champion"))
        for age, move, step in ((8, first, i), (9, second, j)):
            broken_off(registry, move, age, step)
            if registry.pointer("champion") != champions[-1]:
                champions.append(registry.pointer("champion"))
        if len(champions) == 1:
            with pytest.raises(RegistryError, match="another previous version to roll back to"):
                registry.rollback()
        else:
            assert registry.rollback() == champions[-2]
            assert pointers(registry) == (champions[-2], champions[-1])


def test_a_damaged_pointer_to_the_previous_champion_is_written_anew(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    versions = [registry.publish(make_bundle(age)) for age in range(2)]
    for version in versions:
        registry.promote(version)
    (tmp_path / "previous").write_bytes(b"\xff")
    assert registry.rollback() == versions[0]
