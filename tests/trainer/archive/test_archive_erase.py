"""Deleting from an archive."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.trainer.archive.archive_harness import (
    Death,
    Kafka,
    Killed,
    Record,
    Topic,
    archive_to,
    flushes_of,
    made,
    read,
)
from trainer.archive.erase import erase_before, erase_customer
from trainer.archive.folder import Archive
from trainer.archive.layout import bucket_of, day_of
from trainer.commands.archive import erase


def test_a_customer_is_erased_and_nobody_else(archived: tuple[Path, list[Record]]) -> None:
    root, records = archived
    before = {file: file.read_bytes() for file in sorted((root / "t").rglob("*.parquet"))}
    erased = erase_customer(Archive.open(root), ["t"], b"bob")
    left = [record for record in records if record[2] != b"bob"]
    assert erased.records == len(records) - len(left) > 0
    assert read(root)["t", 0] == left
    after = {file: file.read_bytes() for file in sorted((root / "t").rglob("*.parquet"))}
    assert list(after) == list(before)
    changed = [file for file in after if after[file] != before[file]]
    assert len(changed) == erased.rewritten
    assert {f"bucket={bucket_of(b'bob', 3):02}"} == {file.parent.name for file in changed}
    assert not [file for file in after if b"bob" in file.read_bytes()]
    assert erase_customer(Archive.open(root), ["t"], b"bob").rewritten == 0
    archive_to(root, Kafka({("t", 0): Topic(made(50))}))
    assert read(root)["t", 0] == left + made(50)[40:]


def test_old_days_are_erased(archived: tuple[Path, list[Record]]) -> None:
    root, records = archived
    erased = erase_before(Archive.open(root), ["t"], "2023-11-16")
    young = [record for record in records if day_of(record[1]) >= "2023-11-16"]
    assert read(root)["t", 0] == young
    assert 0 < len(young) < 30
    assert erased.records == 40 - len(young)
    assert erased.removed > 0
    erase_before(Archive.open(root), ["t"], "2030-01-01")
    assert read(root) == {}
    assert len(flushes_of(root)) == 1  # it says where to go on
    archive_to(root, Kafka({("t", 0): Topic(made(50))}))
    assert read(root)["t", 0] == made(50)[40:]


@pytest.mark.parametrize("k", range(1, 7))
def test_an_interrupted_erasure_is_made_whole_by_the_next(
    archived: tuple[Path, list[Record]], k: int
) -> None:
    root, records = archived
    with pytest.MonkeyPatch.context() as patch:
        Death(patch, k, "after")
        with pytest.raises(Killed):
            erase_before(Archive.open(root), ["t"], "2023-11-16")
    some = read(root)["t", 0]
    assert some == [record for record in records if record in some]
    erase_before(Archive.open(root), ["t"], "2023-11-16")
    assert read(root)["t", 0] == [r for r in records if day_of(r[1]) >= "2023-11-16"]


def test_the_command_erases(archived: tuple[Path, list[Record]]) -> None:
    root, records = archived
    run = CliRunner()
    for wrong in ([], ["--customer", "x", "--before", "2023-11-15"]):
        assert "Name either" in run.invoke(erase, [str(root), "--yes", *wrong]).output
    assert run.invoke(erase, [str(root), "--customer", "bob"], input="n\n").exit_code == 1
    assert read(root)["t", 0] == records
    done = run.invoke(erase, [str(root), "--customer", "bob", "--yes"], catch_exceptions=False)
    assert "6 records deleted" in done.output
    assert done.exit_code == 0
    done = run.invoke(erase, [str(root), "--before", "2023-11-15", "--yes"], catch_exceptions=False)
    assert done.exit_code == 0
    left = [record for record in records if record[2] != b"bob"]
    assert read(root)["t", 0] == [r for r in left if day_of(r[1]) >= "2023-11-15"]


@pytest.mark.parametrize(
    ("customer", "hint"),
    [
        ('"bob"', "try --customer bob"),
        ("'bob'", "try --customer bob"),
        (" bob", "try --customer bob"),
        ("nobody", "compared byte for byte"),
    ],
)
def test_a_customer_of_whom_there_is_nothing_has_an_exit_code_of_its_own(
    archived: tuple[Path, list[Record]], customer: str, hint: str
) -> None:
    root, records = archived
    done = CliRunner().invoke(erase, [str(root), "--customer", customer, "--yes"])
    assert done.exit_code == 3
    assert "0 records deleted" in done.output
    assert f"expected records with the key {customer} in t, found none" in done.output
    assert hint in done.output
    assert read(root)["t", 0] == records


def test_old_days_that_are_not_there_are_no_mistake(archived: tuple[Path, list[Record]]) -> None:
    root, _ = archived
    done = CliRunner().invoke(erase, [str(root), "--before", "2020-01-01", "--yes"])
    assert (done.exit_code, done.output.count("opportune:")) == (0, 0)
