"""Snapshots: what was durable comes back as it was, once; whatever else lies there costs a warning."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stream.columns import Spans
from stream.errors import OperatorError
from stream.state.marker import Anchor
from stream.state.table import CustomerTable
from stream.worker.partition import snapshots
from stream.worker.partition.block import Block
from stream.worker.partition.lifecycle import State
from stream.worker.partition.snapshots import Snapshots

WORDS = 3
TOPICS = ("orders", "sends")


@pytest.fixture
def store(tmp_path: Path) -> Snapshots:
    return Snapshots(tmp_path / "state", "shop-customers-1a2b-changelog")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The log events that were told."""
    told: list[str] = []
    monkeypatch.setattr(snapshots, "log_event", lambda evt, **_: told.append(evt))
    return told


def durable(rows: int, seed: int = 1) -> Block:
    """A block of which the changelog says everything."""
    random = np.random.default_rng(seed)
    table = CustomerTable(WORDS)
    table.rows_for(Spans.of([b"customer %d" % i for i in range(rows)]))
    table.state[:] = random.normal(size=(rows, WORDS))
    block = Block(table)
    block.progress.covered = {"orders": 40, "sends": 7}
    block.progress.order = [("orders", 40), ("sends", 7)]
    block.position = dict(block.progress.covered)
    block.progress.anchor = Anchor(1_000 + seed, b'{"version":1}')
    block.progress.rows = rows
    return block


@pytest.mark.parametrize("rows", [0, 1, 1_000])
def test_a_partition_comes_back_as_it_was_and_once(store: Snapshots, rows: int) -> None:
    blocks = {0: durable(rows), 7: durable(rows, seed=2)}
    store.save(blocks)
    assert store.take(1, WORDS, TOPICS) is None
    for partition, saved in blocks.items():
        found = store.take(partition, WORDS, TOPICS)
        assert found is not None
        assert list(found.table.keys()) == list(saved.table.keys())
        assert found.table.state.tobytes() == saved.table.state.tobytes()
        assert found.progress == saved.progress
        assert not found.table.has_dirty
        assert [found.table.find(saved.table.key(i)) for i in range(rows)] == list(range(rows))
        assert store.take(partition, WORDS, TOPICS) is None


def test_only_the_owner_may_read_it(store: Snapshots, tmp_path: Path) -> None:
    store.save({0: durable(3)})
    (file,) = (tmp_path / "state").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def _ahead(block: Block) -> None:
    block.position["orders"] += 1


def _dirty(block: Block) -> None:
    block.table.mark_dirty(np.array([1]))


def _unwritten(block: Block) -> None:
    block.progress.anchor = None


def _half(block: Block) -> None:
    block.state = State.RESTORING


@pytest.mark.parametrize("change", [_ahead, _dirty, _unwritten, _half])
def test_what_is_not_durable_is_not_saved(
    store: Snapshots, change: Callable[[Block], None]
) -> None:
    block = durable(3)
    change(block)
    store.save({0: block, 1: durable(3)})
    assert store.take(0, WORDS, TOPICS) is None
    assert store.take(1, WORDS, TOPICS) is not None


@pytest.mark.parametrize("at", [0, 3, 60, -1, -30])
def test_a_damaged_snapshot_is_told_and_left_behind(
    store: Snapshots, lines: list[str], tmp_path: Path, at: int
) -> None:
    store.save({0: durable(9)})
    (file,) = (tmp_path / "state").iterdir()
    data = bytearray(file.read_bytes())
    data[at] ^= 0x55
    file.write_bytes(data)
    assert store.take(0, WORDS, TOPICS) is None
    assert lines == ["snapshot", "snapshot_unused"]
    assert not file.exists()


@pytest.mark.parametrize("size", [0, 1, 40, 300, -1])
def test_half_a_snapshot_is_told_and_left_behind(
    store: Snapshots, lines: list[str], tmp_path: Path, size: int
) -> None:
    store.save({0: durable(9)})
    (file,) = (tmp_path / "state").iterdir()
    file.write_bytes(file.read_bytes()[:size])
    assert store.take(0, WORDS, TOPICS) is None
    assert lines == ["snapshot", "snapshot_unused"]


def test_a_snapshot_of_something_else_is_not_used(
    store: Snapshots, lines: list[str], tmp_path: Path
) -> None:
    store.save({0: durable(9)})
    (file,) = (tmp_path / "state").iterdir()
    file.rename(file.with_name(file.name.replace("-0.", "-1.")))
    assert store.take(1, WORDS, TOPICS) is None
    store.save({0: durable(9)})
    assert store.take(0, WORDS + 1, TOPICS) is None
    assert lines.count("snapshot_unused") == 2


def test_an_old_snapshot_might_bring_back_who_was_erased(
    store: Snapshots, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save({0: durable(9)})
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + 12 * 3600 + 1)
    assert store.take(0, WORDS, TOPICS) is None
    assert lines == ["snapshot", "snapshot_unused"]


def _link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to(file.with_name("elsewhere"))


def _fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def _device(file: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _of_another(file: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a file away")
    os.chown(file, 12345, -1)


def _folder_of_another(file: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    os.chown(file.parent, 12345, -1)


def _huge(file: Path) -> None:
    os.truncate(file, 1 << 42)  # takes no room on the disk


FORBIDDEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "link": (_link, "got a link"),
    "fifo": (_fifo, "expected a regular file, got prw"),
    "device": (_device, "got a link"),
    "folder": (_folder, "directory|expected a regular file"),
    "of another user": (_of_another, "user 12345"),
    "folder of another user": (_folder_of_another, "user 12345"),
    "writable by the group": (lambda file: file.chmod(0o620), "got -rw--w----"),
    "writable by all": (lambda file: file.chmod(0o602), "got -rw-----w-"),
    "folder writable by the group": (lambda file: file.parent.chmod(0o770), "got drwxrwx---"),
    "folder writable by all": (lambda file: file.parent.chmod(0o707), "chmod 700"),
    "larger than the memory": (_huge, "bytes at most, got 4398046511104"),
}


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_what_others_can_have_written_is_not_used(
    store: Snapshots, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(
        snapshots, "log_event", lambda evt, **fields: told.append((evt, fields.get("reason", "")))
    )
    store.save({0: durable(9)})
    (file,) = (tmp_path / "state").iterdir()
    change, reason = FORBIDDEN[kind]
    change(file)
    try:
        assert store.take(0, WORDS, TOPICS) is None
    finally:
        file.parent.chmod(0o700)
    assert [evt for evt, _ in told] == ["snapshot", "snapshot_unused"]
    assert re.search(reason, told[-1][1])


def test_nothing_is_saved_where_others_can_write(
    store: Snapshots, lines: list[str], tmp_path: Path
) -> None:
    (tmp_path / "state").chmod(0o777)
    store.save({0: durable(9)})
    assert lines == ["snapshot_failed"]
    assert list((tmp_path / "state").iterdir()) == []


def test_a_snapshot_of_other_topics_is_not_used(store: Snapshots, lines: list[str]) -> None:
    covering, ordering = durable(9), durable(9)
    covering.progress.order = []
    ordering.progress.covered = ordering.position = {"orders": 40}
    for block in (covering, ordering):
        store.save({0: block})
        assert store.take(0, WORDS, ["orders"]) is None
    assert lines == ["snapshot", "snapshot_unused"] * 2


def test_a_folder_that_cannot_be_made_is_the_operators_business(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OperatorError, match=r"expected a folder for snapshots at .*file/state"):
        Snapshots(tmp_path / "file" / "state", "changelog")


def test_a_full_disk_costs_a_warning(
    store: Snapshots, lines: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stream.worker.partition.snapshots.os.fsync", full)
    store.save({0: durable(9)})
    assert lines == ["snapshot_failed"]
    assert list((tmp_path / "state").iterdir()) == []
