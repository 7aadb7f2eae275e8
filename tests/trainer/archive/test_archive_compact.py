"""Compaction: fewer files, the same records, whatever crashes when and whoever reads meanwhile."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from models.store import Store
from tests.trainer.archive.archive_harness import (
    Death,
    Kafka,
    Killed,
    Record,
    Topic,
    archive_to,
    flushes_of,
    lost_in,
    made,
    names_of,
    read,
)
from trainer.archive.compact import Compacted, compact, plan
from trainer.archive.erase import erase_before, erase_customer
from trainer.archive.folder import Archive, TopicFolder
from trainer.archive.layout import FileName, Flush, survey
from trainer.archive.reader import ParquetSource
from trainer.commands.archive import compact as command
from trainer.errors import TrainingError

LATER = "2030-01-01"
NO_LIMIT = 1 << 40
HOUR_MS = 3_600_000


@pytest.fixture
def archived(tmp_path: Path) -> tuple[Path, list[Record]]:
    """An archive of 24 flushes of five records each in three buckets; a day has about five."""
    records = made(120)
    archive_to(tmp_path / "a", Kafka({("t", 0): Topic(records)}, step=5), flush_records=5)
    return tmp_path / "a", records


def compacted(root: Path | str, before: str = LATER, target_bytes: int = NO_LIMIT) -> Compacted:
    return compact(Archive.open(root), Archive.open(root).topics(), before, target_bytes)


def test_each_day_is_one_flush_afterwards_and_the_records_are_the_same(
    archived: tuple[Path, list[Record]],
) -> None:
    root, records = archived
    before = len(names_of(root, "t"))
    done = compacted(root)
    assert read(root)["t", 0] == records
    flushes = Archive.open(root).topic("t").survey().flushes[0]
    days = [max(name.day for name in flush.files) for flush in flushes]
    assert days[:-1] == sorted(set(days)), "one a day, and the last one as it was"
    assert done.files_before - done.files_after == before - len(names_of(root, "t")) > 30
    assert done.records == sum(flush.next - flush.first for flush in flushes[:-1])
    assert compacted(root) == Compacted()


def test_an_archiver_goes_on_where_it_was(archived: tuple[Path, list[Record]]) -> None:
    root, _ = archived
    last = flushes_of(root)[-1]
    with Archive.open(root).topic("t").lock("archive"):  # it may run meanwhile
        compacted(root)
    assert flushes_of(root)[-1] == last
    archive_to(root, Kafka({("t", 0): Topic(made(140))}))
    assert read(root)["t", 0] == made(140)
    compacted(root)
    assert read(root)["t", 0] == made(140)


def test_what_was_lost_stays_written_down(tmp_path: Path) -> None:
    archive_to(tmp_path, Kafka({("t", 0): Topic(made(6))}, step=3), flush_records=3)
    later = made(30)
    archive_to(tmp_path, Kafka({("t", 0): Topic(later[9:], begin=9)}, step=3), flush_records=3)
    compacted(tmp_path)
    assert lost_in(tmp_path)[0] == [[6, 9]]
    assert read(tmp_path)["t", 0] == later[:6] + later[9:]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "within", "after"])
def test_a_crash_at_any_change_loses_nothing_and_doubles_nothing(
    tmp_path: Path, moment: str
) -> None:
    """Killed in compaction, in what follows, and then an archiver goes on."""
    records, more = made(24, spread_ms=3 * HOUR_MS), made(27, spread_ms=3 * HOUR_MS)
    for k in range(1, 100):
        root = tmp_path / str(k)
        archive_to(root, Kafka({("t", 0): Topic(records)}, step=3), flush_records=3, buckets=2)
        survived = True
        for death in (k, 1 + k % 5):
            with pytest.MonkeyPatch.context() as patch:
                Death(patch, death, moment)
                try:
                    compacted(root)
                except Killed:
                    survived = False
            assert read(root)["t", 0] == records
        archive_to(root, Kafka({("t", 0): Topic(more)}))
        assert read(root)["t", 0] == more
        compacted(root)
        assert read(root)["t", 0] == more
        found = Archive.open(root).topic("t").survey()
        assert (found.unfinished, found.replaced) == ([], [])
        assert not [path for path in root.rglob("*") if ".parquet." in path.name]
        if survived:
            break
    assert 15 < k < 99, "every change was the last one once"


def test_an_archiver_that_starts_leaves_the_work_of_a_compaction_alone(
    archived: tuple[Path, list[Record]],
) -> None:
    root, _ = archived
    with pytest.MonkeyPatch.context() as patch:
        Death(patch, 3, "within")
        with pytest.raises(Killed):
            compacted(root)
    before = set(root.rglob("*.parquet*"))
    assert len(Archive.open(root).topic("t").survey().unfinished) == 2
    archive_to(root, Kafka({("t", 0): Topic(made(130))}))
    assert before < set(root.rglob("*.parquet*"))
    compacted(root)
    assert not Archive.open(root).topic("t").survey().unfinished
    assert not [path for path in root.rglob("*") if ".parquet." in path.name]


def test_nothing_of_a_customer_outlives_a_crash_and_an_erasure(
    archived: tuple[Path, list[Record]],
) -> None:
    root, records = archived
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "remove", _killed)
        with pytest.raises(Killed):
            compacted(root)
    assert Archive.open(root).topic("t").survey().replaced
    erase_customer(Archive.open(root), ["t"], b"bob")
    assert read(root)["t", 0] == [record for record in records if record[2] != b"bob"]
    assert not [file for file in root.rglob("*.parquet") if b"bob" in file.read_bytes()]


def _killed(*_: object) -> None:
    raise Killed


def test_old_days_of_merged_flushes_are_erased(archived: tuple[Path, list[Record]]) -> None:
    root, records = archived
    compacted(root)
    erase_before(Archive.open(root), ["t"], "2023-11-17")
    left = read(root)["t", 0]
    assert left == [r for r in records if r[1] >= 1_700_179_200_000]
    compacted(root)
    assert read(root)["t", 0] == left


def test_who_reads_meanwhile_reads_every_record(
    archived: tuple[Path, list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything is merged right after the survey, and merged again while it is read."""
    root, records = archived
    survey_now = TopicFolder.survey
    merged: list[Compacted] = []

    def survey_and_merge(folder: TopicFolder) -> Any:
        found = survey_now(folder)
        if not merged:
            merged.append(compacted(root, target_bytes=20_000))
        return found

    monkeypatch.setattr(TopicFolder, "survey", survey_and_merge)
    chunks = ParquetSource(root).chunks(["t"])
    some = next(chunk for chunk in chunks if len(chunk))
    monkeypatch.undo()
    assert merged[0].files_before > 0
    assert compacted(root).files_before > 0
    rest = [int(offset) for chunk in chunks for offset in chunk.offset]
    assert [*some.offset.tolist(), *rest] == [record[0] for record in records]


def test_a_file_that_is_gone_and_merged_nowhere_is_missed(
    archived: tuple[Path, list[Record]],
) -> None:
    root, _ = archived
    folder = Archive.open(root).topic("t")
    name = folder.survey().flushes[0][0].files[0]
    folder.remove(name)
    with pytest.raises(TrainingError, match=r"expected the file .*parquet, .*No such file"):
        folder.read(name)


@pytest.mark.parametrize("unseen", ["first", "middle"])
def test_a_listing_that_is_torn_by_compaction_is_made_again(
    archived: tuple[Path, list[Record]], monkeypatch: pytest.MonkeyPatch, unseen: str
) -> None:
    """It has missed the last file of what was merged, and some of the files that were removed."""
    root, records = archived
    folder = Archive.open(root).topic("t")
    before, old = folder.survey().flushes[0], folder._paths()
    compacted(root)
    new = folder._paths()
    merged = [f for f in folder.survey().flushes[0] if f not in before]
    chosen = merged[0] if unseen == "first" else merged[1]
    parts = [f for f in before if chosen.first <= f.first and f.next <= chosen.next]
    torn = (set(old) | set(new)) - {chosen.files[-1].path, parts[0].files[-1].path}
    torn -= {name.path for flush in merged if flush != chosen for name in flush.files}
    listings = [sorted(torn), new, new]
    with monkeypatch.context() as patch:
        patch.setattr(TopicFolder, "_paths", lambda _: listings.pop(0))
        assert folder.survey().flushes[0][0].first == 0
    assert len(listings) == 1
    assert read(root)["t", 0] == records


def flush(first: int, next_: int, *days: str) -> Flush:
    names = [FileName(day, 0, 0, first, next_, k, len(days)) for k, day in enumerate(days, 1)]
    return Flush(0, first, next_, tuple(names))


def sizes_of(flushes: list[Flush], size: int = 10) -> dict[str, int]:
    return {name.path: size for flush in flushes for name in flush.files}


def test_what_is_merged_is_of_one_day_within_the_size_and_adjacent() -> None:
    monday, tuesday = "2026-11-23", "2026-11-24"
    chain = [
        flush(0, 5, monday), flush(5, 9, monday), flush(9, 20, monday, tuesday),
        flush(20, 30, tuesday), flush(25, 40, tuesday), flush(40, 50, tuesday),
        flush(50, 60, tuesday),
    ]  # fmt: skip

    def ranges(before: str = LATER, target: int = NO_LIMIT) -> list[list[int]]:
        return [[f.first for f in run] for run in plan(chain, sizes_of(chain), before, target)]

    assert ranges() == [[0, 5], [9, 20], [25, 40]]
    assert ranges(before=tuesday) == [[0, 5]]
    assert ranges(before=monday) == []
    assert ranges(target=20) == [[0, 5], [25, 40]]
    assert ranges(target=19) == []


@pytest.mark.parametrize("is_last_there", [True, False])
def test_what_is_within_a_longer_flush_does_not_count(is_last_there: bool) -> None:
    first, second = flush(0, 5, "2026-11-23"), flush(5, 9, "2026-11-23", "2026-11-24")
    merged = flush(0, 9, "2026-11-23", "2026-11-24")
    left = [*first.files, *second.files[: 1 + is_last_there]]
    found = survey("t", [*left, *merged.files])
    assert found.flushes == {0: [merged]}
    assert found.replaced == left
    found = survey("t", [*first.files, *second.files, merged.files[0]])
    assert found.flushes == {0: [first, second]}
    assert found.unfinished == [merged.files[0]]


def test_an_object_store_is_compacted() -> None:
    root = f"memory://{uuid.uuid4().hex}/archive"
    archive_to(root, Kafka({("t", 0): Topic(made(40))}, step=4), flush_records=4)
    assert compacted(root).files_before > 0
    assert read(root)["t", 0] == made(40)


def test_only_one_rewrites_a_topic(archived: tuple[Path, list[Record]]) -> None:
    root, _ = archived
    with (
        Archive.open(root).topic("t").lock("rewrite"),
        pytest.raises(TrainingError, match="expected to be the only one to rewrite in"),
    ):
        compacted(root)


def test_the_command_merges(archived: tuple[Path, list[Record]]) -> None:
    root, records = archived
    run = CliRunner()
    done = run.invoke(command, [str(root), "--before", "2023-11-14"], catch_exceptions=False)
    assert (done.exit_code, "Nothing to merge before 2023-11-14" in done.output) == (0, True)
    with pytest.raises(TrainingError, match=r"missing: \['x'\]"):
        run.invoke(command, [str(root), "--topic", "x"], catch_exceptions=False)
    assert not (root / "x").exists()
    done = run.invoke(command, [str(root)], catch_exceptions=False)
    assert done.exit_code == 0
    assert "files merged into" in done.output
    assert read(root)["t", 0] == records
