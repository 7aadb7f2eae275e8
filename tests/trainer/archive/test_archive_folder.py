"""Folders in which no archive can be made or read, and the lock of a user without a name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from stream.errors import OperatorError
from tests.trainer.commands.model_commands_harness import ROOT, refused
from trainer.archive.folder import Archive
from trainer.commands.archive import archive
from trainer.errors import TrainingError

CAMPAIGN = str(ROOT / "examples" / "segment" / "opportune.toml")


@pytest.fixture
def nowhere(tmp_path: Path) -> str:
    """A path at which there can be no folder."""
    (tmp_path / "file").write_bytes(b"")
    return str(tmp_path / "file" / "archive")


def test_an_archive_that_cannot_be_made_is_refused(nowhere: str) -> None:
    said = refused(CliRunner().invoke(archive, [CAMPAIGN, "--to", nowhere, "--once"]))
    assert said.startswith(f"{nowhere}: expected ")
    assert "Not a directory" in said


def test_an_archive_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("models.store.os.fsync", full)
    with pytest.raises(TrainingError, match=r"expected to make an archive there.*No space left"):
        Archive.open_or_create(tmp_path / "archive", buckets=2)


@pytest.mark.parametrize("open_archive", [Archive.open, partial(Archive.open_or_create, buckets=8)])
def test_an_archive_on_a_store_without_its_package_says_what_to_install(
    open_archive: Callable[[str], Archive], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(OperatorError, match=r"opportune\[gcs\]"):
        open_archive("gs://bucket/archive")


def test_a_topic_that_cannot_be_locked_is_refused(tmp_path: Path) -> None:
    there = Archive.open_or_create(tmp_path, buckets=2)
    (tmp_path / "events").write_bytes(b"")
    with (
        pytest.raises(TrainingError, match=r"expected to archive there, .*File exists"),
        there.topic("events").lock("archive"),
    ):
        pytest.fail("locked")


def test_a_user_without_a_name_can_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr("getpass.getuser", nameless)
    with Archive.open_or_create(tmp_path, buckets=2).topic("events").lock("archive"):
        assert (tmp_path / "events" / ".archive.lock").read_text()[0].isdigit()
