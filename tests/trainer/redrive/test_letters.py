"""Which letters are sent again, and that none is sent twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.campaign.file import parse
from tests.stream.worker.processor_harness import CAMPAIGN
from trainer.errors import TrainingError
from trainer.redrive.letters import Fate, Letter, LetterJudge, Wanted
from trainer.redrive.sent import SentLetters

HEADERS = {
    "reason": b"expected", "code": b"bad_type", "topic": b"events", "partition": b"3",
    "offset": b"7", "timestamp": b"1767225600000",
}  # fmt: skip
GOOD = (
    b'{"userId":"ann","type":"track","event":"Order Completed","timestamp":"2026-01-01T00:00:00Z"}'
)


def letter(value: bytes | None = GOOD, **headers: bytes) -> Letter:
    found = Letter.of(b"ann", value, list((HEADERS | headers).items()))
    assert found is not None
    return found


def test_a_letter_is_read_from_its_headers() -> None:
    assert letter() == Letter(b"ann", GOOD, "events", 3, 1_767_225_600_000, "bad_type", False, [])
    assert letter(truncated=b"true").is_cut


@pytest.mark.parametrize("lacks", ["code", "topic", "partition", "timestamp"])
def test_what_lacks_a_header_is_no_letter(lacks: str) -> None:
    rest = [(k, v) for k, v in HEADERS.items() if k != lacks]
    for said in ([], [(lacks, None)]):
        assert Letter.of(b"k", GOOD, [*rest, *said]) is None
    assert Letter.of(b"k", GOOD, [*HEADERS.items(), ("partition", b"many")]) is None


def test_fates_are_those_of_a_worker_with_the_campaign_file_of_now() -> None:
    fates = LetterJudge(CAMPAIGN).fates([
        letter(b'{"userId":{}}'), letter(), letter(topic=b"others"), letter(truncated=b"true"),
        letter(None), letter(),
    ])  # fmt: skip
    assert [fate for fate, _ in fates] == [
        Fate.REFUSED, Fate.READABLE, Fate.ELSEWHERE, Fate.CUT, Fate.REFUSED, Fate.READABLE,
    ]  # fmt: skip
    assert "userId" in fates[0][1]
    assert "tombstone" in fates[4][1]
    assert fates[1][1] == ""


def test_a_mended_mapping_makes_letters_readable() -> None:
    value = GOOD.replace(b"userId", b"user")
    mended = parse("""
        app = "t"
        topics = { events = ["events"] }
        events = { customer_id = ["userId", "user"] }
        features = [{ op = "count", half_lives = ["1d"] }]
        strategies = [{ id = "mail" }]
    """)
    fates = [LetterJudge(one).fates([letter(value)])[0][0] for one in (CAMPAIGN, mended)]
    assert fates == [Fate.REFUSED, Fate.READABLE]


@pytest.mark.parametrize(
    ("wanted", "has"),
    [
        (Wanted(), True),
        (Wanted(codes=frozenset({"bad_type"})), True),
        (Wanted(codes=frozenset({"bad_json"})), False),
        (Wanted(topics=frozenset({"events"})), True),
        (Wanted(topics=frozenset({"others"})), False),
        (Wanted(since_ms=1_767_225_600_000), True),
        (Wanted(since_ms=1_767_225_600_001), False),
        (Wanted(until_ms=1_767_225_600_000), False),
        (Wanted(until_ms=1_767_225_600_001), True),
    ],
)
def test_what_is_asked_for(wanted: Wanted, has: bool) -> None:
    assert wanted.has(letter()) == has


@given(st.lists(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 12)), max_size=6), max_size=5))
def test_the_file_remembers_each_letter(
    tmp_path_factory: pytest.TempPathFactory, runs: list[list[tuple[int, int]]]
) -> None:
    path = tmp_path_factory.mktemp("sent") / "sent.json"
    known: set[tuple[int, int]] = set()
    for run in runs:
        SentLetters(path, "dead").add(run)
        known |= set(run)
        sent = SentLetters(path, "dead")
        there = {(p, o) for p in range(2) for o in range(14) if sent.has(p, o)}
        assert (there, len(sent)) == (known, len(known))


def test_a_file_that_cannot_be_right_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sent.json"
    SentLetters(path, "dead").add([(0, 4)])
    SentLetters(path, "dead").expect_within({0: 5})
    with pytest.raises(TrainingError, match=r"reach to offset 5, .* end at 4: .* created anew"):
        SentLetters(path, "dead").expect_within({0: 4})
    with pytest.raises(TrainingError, match="expected letters of other, got those of dead"):
        SentLetters(path, "other")
    path.write_text("{")
    with pytest.raises(TrainingError, match="expected the letters that were sent before"):
        SentLetters(path, "dead")
    with pytest.raises(TrainingError, match="expected to note in"):
        SentLetters(tmp_path / "nowhere" / "sent.json", "dead").add([(0, 1)])
