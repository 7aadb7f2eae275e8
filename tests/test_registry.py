"""The registry and its pointers, on disk and on an object store, through crashes and races."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import history
from models import registry as registry_module
from models.bundle import Bundle, Fit, Golden
from models.contract import FeatureContract, Normalization
from models.errors import BundleError, RegistryError
from models.history import History
from models.manifest import DataWindow, NetworkConfig
from models.registry import Registry
from models.store import Store

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
    names = sorted(path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*"))
    assert set(names) == {".lock", "history", "versions"}
    assert list((tmp_path / "history").iterdir()) == []


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
    assert pointers(registry) == (other, None, old)
    registry.promote(new)
    assert pointers(registry) == (new, None, other), "whoever it is when nobody compared"
    registry.promote(new, over=other)
    assert pointers(registry) == (new, None, other), "it is the champion already"


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
    assert pointers(registry) == (quick, None, old)
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
    assert pointers(registry) == (first, None, old)


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
    assert pointers(registry) == (new, None, old)
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
    assert pointers(registry) == (new, None, other)
    with during(monkeypatch, History, "append", lambda: registry.promote(old)):
        assert registry.rollback() == new, "back from the champion that came in between"
    assert len(registry.history()) == 5


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

    monkeypatch.setattr(history.getpass, "getuser", nameless)
    registry.promote(registry.publish(make_bundle()))
    assert registry.history()[0].by[0].isdigit()


# --- names, reports, old versions


def test_names_mean_versions(registry: Registry) -> None:
    old, new = registry.publish(make_bundle(0)), registry.publish(make_bundle(24))
    registry.promote(old)
    registry.promote(new)
    registry.challenge(old)
    names = ("champion", "previous", "challenger", "latest", old, "20261124", new[:-1])
    assert [registry.resolve(name) for name in names] == [new, old, old, new, old, old, new]
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
    registry.challenge(versions[0])
    assert registry.prune(keep=2) == [versions[2], versions[4]]
    assert registry.versions() == [versions[i] for i in (0, 1, 3, 5, 6)]
    assert all(registry.load(version) for version in registry.versions())
    assert registry.prune(keep=2) == []
    with pytest.raises(ValueError, match="keep 1 version at least"):
        registry.prune(keep=0)
    assert registry.publish(make_bundle(2)) == versions[2]
    registry.load(versions[2])


# --- crashes at every operation on the store


@contextmanager
def crashing(monkeypatch: pytest.MonkeyPatch, step: int, *, after: bool = False) -> Iterator[None]:
    """Dies before, or right after, the operation number `step` that changes the store."""
    done = 0

    def dying(original: Callable[..., None]) -> Callable[..., None]:
        def operation(self: Store, *args: Any) -> None:
            nonlocal done
            done += 1
            if done == step + 1 and not after:
                raise Crash
            original(self, *args)
            if done == step + 1:
                raise Crash

        return operation

    with monkeypatch.context() as patch:
        for name in ("write", "create", "remove", "remove_folder"):
            patch.setattr(Store, name, dying(getattr(Store, name)))
        yield


COMMANDS: dict[str, Callable[[Registry, list[str]], object]] = {
    "promote": lambda registry, versions: registry.promote(versions[2], over=versions[1]),
    "rollback": lambda registry, versions: registry.rollback(),
    "prune": lambda registry, versions: registry.prune(keep=1),
    "publish": lambda registry, versions: registry.publish(make_bundle(9)),
}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_crash_at_any_operation_leaves_a_valid_registry(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, command: str, after: bool
) -> None:
    for step in range(12):
        registry = Registry(f"{registry.url}-{step}")
        versions = [registry.publish(make_bundle(age)) for age in range(-1, 3)][1:]
        for version in versions[:2]:
            registry.promote(version)
        registry.challenge(versions[2])
        with crashing(monkeypatch, step, after=after):
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
        assert pointers(registry)[::2] == (new, champion)
    else:
        pytest.fail("the command never came to its end")
    assert step >= 2


# --- real processes

PROCESS = """
import random, sys
from tests.test_registry import make_bundle
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
        cwd=Path(__file__).parents[1], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
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
            assert pointers(registry) == (versions[winner], None, champion)
            champion = versions[winner]
            wins.append(winner)
    moves = [json.loads(file.read_bytes()) for file in sorted((tmp_path / "history").iterdir())]
    assert [move["champion"] for move in moves][-1] == champion
    assert len(moves) == 21
    registry.history()
