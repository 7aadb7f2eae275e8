"""The skip list: what it leaves out, of sound and of broken batches, and what is told of it."""

from __future__ import annotations

import logging
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.campaign.file import parse
from stream.columns import RecordChunk, Spans
from stream.errors import CampaignError
from stream.kafka.batch_checks import CorruptRecords
from stream.kafka.records import AbortedTransaction, RecordReader
from stream.kafka.skip_list import (
    ReadRules,
    Skipped,
    merged,
    resumed,
    unpacked_bytes_max,
    within,
    without_skipped,
)
from stream.kafka.skip_report import SkipCount, log_skip_list
from stream.kafka.unpack import ZSTD
from tests.fuzz.batches import varint
from tests.stream.kafka.test_corrupt_records import batch, record
from tests.stream.kafka.test_records import abort_marker, stock_batch
from tests.stream.kafka.test_unpack import ENCODE, MIB
from trainer.history.gaps import SKIPPED, Gap, GapTracker, cold_ms, unread_ms
from trainer.history.skipped import with_gaps

CAMPAIGN = """
app = "a"
features = [{ op = "count", half_lives = ["1d"] }]
strategies = [{ id = "mail" }]
[topics]
events = ["events", "clicks"]
"""


def rules(*ranges: tuple[int, int]) -> ReadRules:
    return ReadRules(1 << 20, {("t", 0): merged(ranges)})


def read(
    data: bytes, position: int, *ranges: tuple[int, int], aborted: bool = False
) -> tuple[list[int], int, list[Skipped]]:
    """Offsets that are shown, the next one, and what was told."""
    told: list[Skipped] = []
    open_ones = [AbortedTransaction(5, 0)] if aborted else None
    reader = RecordReader("t", 0, data, position, 100, open_ones, rules(*ranges), told.append)
    shown = [int(offset) for chunk in reader for offset in chunk.offset]
    return shown, reader.next_offset, told


def sound(base: int, n: int = 10) -> bytes:
    return stock_batch([(b"k", b"v")] * n, base)


def broken(base: int, n: int = 10) -> bytes:
    return batch(record(1) * n, n, base)


def test_the_campaign_names_offsets_inclusively() -> None:
    campaign = parse(
        CAMPAIGN
        + """
        skip = [{ topic = "events", partition = 3, from = 120, to = 180 },
                { topic = "events", partition = 3, from = 181, to = 181 },
                { topic = "decisions", partition = 0, from = 5, to = 5 }]
        """
    )
    found = ReadRules.of(campaign)
    assert found.ranges("events", 3) == ((120, 182),)
    assert found.ranges("decisions", 0) == ((5, 6),)
    assert found.ranges("events", 0) == ()
    assert parse(CAMPAIGN + found.line_with("clicks", 1, 7, 9)).topics.skip[0].topic == "clicks"


def test_the_entries_may_be_tables() -> None:
    tables = '\n[[topics.skip]]\ntopic = "clicks"\npartition = 0\nfrom = 4\nto = 4\n'
    assert ReadRules.of(parse(CAMPAIGN + tables)).ranges("clicks", 0) == ((4, 5),)


@pytest.mark.parametrize(
    ("entry", "match"),
    [
        ("topic = 'other', partition = 0, from = 1, to = 2", r"skip\[0\].topic: .*got \"other\""),
        ("topic = 'events', partition = 0, from = 3, to = 2", r"skip\[0\].to: .*from 3 on.*got 2"),
        ("topic = 'events', partition = -1, from = 3, to = 4", r"partition"),
        ("topic = 'events', partition = 0, from = -3, to = 4", r"from"),
        ("topic = 'events', partition = 0, from = 3", r"to"),
        ("topic = 'events', partition = 0, from = 3, to = 99999999999999999999", r"to"),
    ],
)
def test_a_wrong_entry_is_refused(entry: str, match: str) -> None:
    with pytest.raises(CampaignError, match=match):
        parse(f"{CAMPAIGN}skip = [{{ {entry} }}]")


def test_what_may_be_unpacked_follows_the_fetch_unless_it_is_set() -> None:
    assert ReadRules.of(parse(CAMPAIGN)).unpacked_bytes_max == 64 << 20
    assert [unpacked_bytes_max(n) for n in (1024, 8 << 20, 1 << 30)] == [
        16 << 20,
        128 << 20,
        1 << 30,
    ]
    set_to = parse(f"{CAMPAIGN}[worker]\nunpacked_bytes_max = {2 << 20}")
    assert ReadRules.of(set_to).unpacked_bytes_max == 2 << 20
    for wrong in (1000, 2 << 30):
        with pytest.raises(CampaignError, match="unpacked_bytes_max"):
            parse(f"{CAMPAIGN}[worker]\nunpacked_bytes_max = {wrong}")


def test_a_broken_batch_all_of_whose_offsets_are_listed_is_stepped_over() -> None:
    data = sound(0) + broken(10) + sound(20)
    shown, end, told = read(data, 0, (10, 20))
    assert shown == [*range(10), *range(20, 30)]
    assert (end, told) == (30, [Skipped("t", 0, 10, 19, 10)])
    for part in ((10, 19), (11, 20)):
        with pytest.raises(CorruptRecords, match="at offset 10 "):
            read(data, 0, part)


def test_of_a_broken_batch_only_what_is_still_to_be_read_has_to_be_listed() -> None:
    assert read(broken(10) + sound(20), 15, (15, 20))[0] == [*range(20, 30)]


def test_a_sound_batch_loses_only_what_is_listed() -> None:
    shown, end, told = read(sound(0) + sound(10), 0, (3, 6), (18, 99))
    assert shown == [0, 1, 2, *range(6, 18)]
    assert end == 20
    assert told == [Skipped("t", 0, 3, 5, 3), Skipped("t", 0, 18, 19, 2)]


def test_a_response_of_nothing_else_gets_on() -> None:
    assert read(sound(0) + broken(10), 0, (0, 20)) == ([], 20, [Skipped("t", 0, 0, 19, 20)])


def test_a_broken_batch_does_not_reach_beyond_the_next_one() -> None:
    lies = batch(record(), 1, base=10, delta=2**31 - 1)
    damaged = bytearray(lies)
    damaged[-1] ^= 1
    data = bytes(damaged) + sound(20)
    with pytest.raises(CorruptRecords, match=r"from = 10, to = 19 }"):
        read(data, 10)
    assert read(data, 10, (10, 20))[0] == [*range(20, 30)]


@pytest.mark.parametrize("where", ["base", "length"])
def test_a_batch_that_says_not_where_it_belongs_is_left_behind_with_the_range(where: str) -> None:
    data = bytearray(sound(10))
    data[0 if where == "base" else 8] = 0xFF
    with pytest.raises(CorruptRecords, match="from = 10, to = "):
        read(bytes(data), 10)
    assert read(bytes(data), 10, (8, 33))[:2] == ([], 33)
    assert read(sound(0) + bytes(data), 0, (8, 33))[:2] == ([*range(8)], 33)


def test_the_end_of_a_transaction_counts_although_it_is_listed() -> None:
    data = (
        stock_batch([(b"a", b"aborted")], 0, producer_id=5, transactional=1)
        + abort_marker(1, 5)
        + stock_batch([(b"c", b"committed")], 2, producer_id=5, transactional=1)
    )
    assert read(data, 0, (1, 2), aborted=True) == ([2], 3, [])


def test_a_refusal_names_the_line_with_what_is_skipped_already() -> None:
    with pytest.raises(CorruptRecords) as caught:
        read(broken(10), 10, (3, 6), (20, 30))
    assert str(caught.value).endswith(
        "set in [topics] of the campaign file: skip = [{ topic = 't', partition = 0, from = 3, to = 5 },"
        " { topic = 't', partition = 0, from = 10, to = 29 }]"
    )


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=6), st.integers(0, 70))
def test_ranges_are_sets_of_offsets(pairs: list[tuple[int, int]], offset: int) -> None:
    ranges = [(start, start + size) for start, size in pairs if size]
    wanted = {one for start, until in ranges for one in range(start, until)}
    found = merged(ranges)
    assert [one for part in found for one in range(*part)] == sorted(wanted)
    assert all(a[1] < b[0] for a, b in pairwise(found))
    after = resumed(found, offset)
    assert after not in wanted
    assert set(range(offset, after)) <= wanted
    cut = {one for part in within(found, 10, 30) for one in range(*part)}
    assert cut == wanted & set(range(10, 30))
    offsets = np.arange(70)
    spans = Spans.of([None] * 70)
    chunk = RecordChunk("t", 0, offsets, offsets, spans, spans, 70)
    assert set(without_skipped(chunk, found).offset.tolist()) == set(range(70)) - wanted


def test_everything_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "opportune")
    log_skip_list(rules((3, 6)))
    count = SkipCount()
    count.add(Skipped("t", 0, 3, 5, 3))
    assert caplog.messages == [
        "skip topic=t partition=0 from=3 to=5",
        "skipped topic=t partition=0 from=3 to=5 records=3",
    ]
    assert (count.since_last(), count.since_last(), count.records) == (3, 0, 3)
    count.add(Skipped("t", 0, 3, 5, 3))
    assert (count.since_last(), count.records) == (3, 6)


def chunk_of(offsets: list[int], next_offset: int) -> RecordChunk:
    index = np.array(offsets, np.int64)
    spans = Spans.of([None] * len(offsets))
    return RecordChunk("t", 0, index, index, spans, spans, next_offset)


def test_a_history_says_where_something_was_left_out() -> None:
    parts = list(with_gaps(chunk_of([0, 1, 9], 12), 0, ((2, 5), (10, 40), (50, 60))))
    told = [(part.next_offset, part.until) for part in parts if isinstance(part, Gap)]
    assert told == [(2, 5), (10, 40)]
    assert [part.offset.tolist() for part in parts] == [[0, 1], [], [9], [], []]
    assert parts[-1].next_offset == 12
    # The next chunk goes on within a range that was told.
    assert [len(part) for part in with_gaps(chunk_of([40], 41), 12, ((10, 40),))] == [1]


def test_what_was_skipped_may_hide_outcomes_but_leaves_features_as_the_worker_has_them() -> None:
    tracker = GapTracker()
    tracker.pass_by("t", 0, np.array([100]))
    tracker.mark(Gap.of("t", 0, 2, 5, SKIPPED))
    tracker.pass_by("t", 0, np.array([200]))
    missing = tracker.missing()
    assert unread_ms(missing).tolist() == [[100, 200]]
    assert cold_ms(missing, 100, 1_000).tolist() == []


def test_what_a_full_fetch_leaves_to_the_next_is_told_by_that_one_alone() -> None:
    large = ENCODE[ZSTD](record(value=varint(MIB * 2 // 3) + bytes(MIB * 2 // 3)))
    data = b"".join(batch(large, base=base, codec=ZSTD) for base in (40, 41)) + broken(42)
    assert read(data, 40, (42, 52)) == ([40], 41, [])
    assert read(data, 41, (42, 52)) == ([41], 52, [Skipped("t", 0, 42, 51, 10)])
