"""Several who move the champion of a registry at once: threads, object stores, processes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from models import registry as registry_module
from models.errors import RegistryError
from models.promotions import History
from models.registry import Registry
from models.store import Store
from tests.models.registry_harness import Crash, crashing, make_bundle, new_registry, pointers


@pytest.fixture(params=["local", "object store"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    return new_registry(request.param, tmp_path)


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


# --- promotion over the champion that was compared with


def test_a_champion_that_has_moved_is_not_replaced(registry: Registry) -> None:
    old, other, new = (registry.publish(make_bundle(age)) for age in range(3))
    registry.promote(old, over=None)
    with pytest.raises(RegistryError, match=f"to be none, which was compared with, got {old}"):
        registry.promote(new, over=None)
    registry.promote(other, over=old)
    with pytest.raises(RegistryError, match=f"to be {old}, which was compared with, got {other}"):
        registry.promote(new, over=old)
    assert pointers(registry) == (other, old)
    registry.promote(new)
    assert pointers(registry) == (new, other), "whoever it is when nobody compared"
    registry.promote(new, over=other)
    assert pointers(registry) == (new, other), "it is the champion already"


@contextmanager
def during(
    monkeypatch: pytest.MonkeyPatch, owner: Any, method: str, meanwhile: Callable[[], object]
) -> Iterator[None]:
    """Something that happens just before the first call of a method, by somebody else."""
    original, done = getattr(owner, method), False

    def patched(*args: Any, **kwargs: Any) -> Any:
        nonlocal done
        if not done:
            done = True
            meanwhile()
        return original(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(owner, method, patched)
        yield


def test_of_two_on_an_object_store_the_first_entry_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(f"memory://{tmp_path.name}")
    old, slow, quick = (registry.publish(make_bundle(age)) for age in range(3))
    registry.promote(old)
    with (
        during(monkeypatch, History, "append", lambda: registry.promote(quick, over=old)),
        pytest.raises(RegistryError, match="it has moved since"),
    ):
        registry.promote(slow, over=old)
    assert pointers(registry) == (quick, old)
    assert [move.champion for move in registry.history()] == [old, quick]


def test_on_an_object_store_a_move_under_way_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the entry and the pointers of one promotion another compares with the old pointer."""
    registry = Registry(f"memory://{tmp_path.name}")
    old, first, second = (registry.publish(make_bundle(age)) for age in range(3))
    registry.promote(old)

    def compare() -> None:
        with pytest.raises(RegistryError, match=rf"began to promote {first} \d s ago"):
            registry.promote(second, over=old)

    with during(monkeypatch, Store, "write", compare):
        registry.promote(first, over=old)
    assert pointers(registry) == (first, old)


def test_on_an_object_store_a_move_that_broke_off_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(f"memory://{tmp_path.name}")
    old, lost, new = (registry.publish(make_bundle(age)) for age in range(3))
    registry.promote(old)
    with crashing(monkeypatch, 1), pytest.raises(Crash):
        registry.promote(lost, over=old)
    with pytest.raises(RegistryError, match="try again in a minute"):
        registry.promote(new, over=old)
    monkeypatch.setattr(registry_module, "_UNDER_WAY", timedelta(0))
    registry.promote(new, over=old)
    assert pointers(registry) == (new, old)
    assert [move.champion for move in registry.history()] == [old, lost, new]
    assert [move.before for move in registry.history()] == [None, old, old], "so `lost` never was"


def test_an_operator_who_compares_with_nobody_is_never_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(f"memory://{tmp_path.name}")
    old, other, new = (registry.publish(make_bundle(age)) for age in range(3))
    registry.promote(old)
    with during(monkeypatch, History, "append", lambda: registry.promote(other)):
        registry.promote(new)
    assert pointers(registry) == (new, other)
    with during(monkeypatch, History, "append", lambda: registry.promote(old)):
        assert registry.rollback() == new, "back from the champion that came in between"
    assert len(registry.history()) == 5


# --- real processes

PROCESS = """
import random, sys
from tests.models.registry_harness import make_bundle
from models.errors import RegistryError
from models.registry import Registry
registry = Registry(sys.argv[1])
"""

KILLER = f"""{PROCESS}
import os, signal, time
rng = random.Random(int(sys.argv[2]))

def busy(rng):
    while True:
        version = registry.publish(make_bundle(rng.randrange(40)))
        try:
            registry.promote(version, over=registry.pointer("champion"), why="next")
            if rng.random() < 0.3:
                registry.rollback("again")
            if rng.random() < 0.1:
                registry.prune(10)
        except RegistryError:
            pass

registry.promote(registry.publish(make_bundle()))
for _ in range(int(sys.argv[3])):
    children, before = [], len(registry.history())
    for seed in rng.sample(range(1 << 30), 2):
        children.append(os.fork())
        if not children[-1]:
            busy(random.Random(seed))
    while len(registry.history()) == before:
        time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.05))
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert registry.pointer("champion") in registry.versions()
    for version in registry.versions():
        registry.load(version)
    print(len(registry.history()), flush=True)
"""

CONTESTANT = f"""{PROCESS}
print("ready", flush=True)
for line in sys.stdin:
    version, over = line.split()
    try:
        registry.promote(version, over=over)
        print("won", flush=True)
    except RegistryError as exc:
        assert "has moved since" in str(exc), exc
        print("lost", flush=True)
"""


@contextmanager
def running(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=Path(__file__).parents[2], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_processes_that_are_killed_leave_a_champion(tmp_path: Path, seed: int) -> None:
    rounds = 30
    with running(KILLER, tmp_path, seed, rounds) as process:
        said, _ = process.communicate()
    assert process.returncode == 0
    assert len(said.split()) == rounds
    moves = Registry(tmp_path).history()
    assert len(moves) > rounds
    befores = [move.before for move in moves[1:]]
    broken_off = sum(move.champion != before for move, before in zip(moves, befores, strict=False))
    assert broken_off <= 2 * rounds, "no more than one move for each process that was killed"


def test_of_two_processes_one_replaces_the_champion(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    champion = registry.publish(make_bundle())
    registry.promote(champion)
    with running(CONTESTANT, tmp_path) as one, running(CONTESTANT, tmp_path) as other:
        for process in (one, other):
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        wins = []
        for age in range(1, 41, 2):
            rivals = {one: make_bundle(age), other: make_bundle(age + 1)}
            versions = {process: registry.publish(bundle) for process, bundle in rivals.items()}
            for process, version in versions.items():
                assert process.stdin
                process.stdin.write(f"{version} {champion}\n")
                process.stdin.flush()
            said = {
                process: str(process.stdout and process.stdout.readline()) for process in rivals
            }
            assert sorted(said.values()) == ["lost\n", "won\n"]
            (winner,) = (process for process, word in said.items() if word == "won\n")
            assert pointers(registry) == (versions[winner], champion)
            champion = versions[winner]
            wins.append(winner)
    moves = [json.loads(file.read_bytes()) for file in sorted((tmp_path / "history").iterdir())]
    assert [move["champion"] for move in moves][-1] == champion
    assert len(moves) == 21
    registry.history()
