"""Changelog records: there and back, in any order, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.columns import RecordChunk, Spans
from stream.errors import StateError
from stream.kafka.records import RecordReader, build_batches
from stream.state import changelog
from stream.state.marker import MARKER_KEY, Anchor, Progress, Source, Stretch, encode_marker
from stream.state.table import CustomerTable

WORDS = 5
OFFSETS = slice(2, 4)


def chunk(records: Sequence[tuple[bytes, bytes | None]]) -> RecordChunk:
    batches = build_batches(Spans.of([k for k, _ in records]), Spans.of([v for _, v in records]), 0)
    data = b"".join(bytes(batch.seal(-1, -1, -1)) for batch in batches)
    (only,) = RecordReader("log", 3, data, 0, 100_000)
    return only


def records_of(keys: Spans, values: Spans) -> list[tuple[bytes, bytes | None]]:
    return [(keys[i] or b"", values[i]) for i in range(len(keys))]


def filled(rows: dict[bytes, list[int]], words: int = WORDS) -> CustomerTable:
    table = CustomerTable(words)
    numbers = table.rows_for(Spans.of(list(rows)))
    table.state.view(np.int64)[numbers] = list(rows.values())
    return table


def marker(
    covered: dict[str, int],
    order: Sequence[tuple[str, int]] = (),
    rows: int = 0,
    generation: int = 0,
) -> tuple[bytes, bytes]:
    progress = Progress(covered, list(order), rows, generation=generation)
    return MARKER_KEY, encode_marker(progress)


def test_golden_bytes_of_a_row_and_of_the_marker() -> None:
    table = filled({b"ann": [1, -2, 3, 0, 1 << 40]})
    keys, values = changelog.encode_rows(table, np.array([0]))
    assert keys[0] == b"ann"
    assert values[0] == bytes.fromhex(
        "01"
        "0100000000000000" "feffffffffffffff" "0300000000000000"
        "0000000000000000" "0000000000010000"
    )  # fmt: skip
    progress = Progress({"events": 42}, [("events", 50)], 7)
    assert (MARKER_KEY, encode_marker(progress)) == (
        b"\xffopportune-marker",
        (
            b'{"version":1,"covered":{"events":42},"order":[["events",50]],"rows":7,"sources":{},'
            b'"generation":0}'
        ),
    )


def test_golden_bytes_of_the_marker_of_several_topics() -> None:
    progress = Progress({"a": 4, "b": 2}, [("a", 50)], 7)
    progress.aligned = [Stretch({"a": 0, "b": 0}, {"a": 9, "b": 3})]
    progress.reached_ms = {"a": 1_767_225_600_000, "b": -1}
    golden = (
        b'{"version":2,"covered":{"a":4,"b":2},"order":[["a",50]],"rows":7,"sources":{},"generation":0,'
        b'"aligned":[{"start":{"a":0,"b":0},"end":{"a":9,"b":3},"silent":false}],'
        b'"reached_ms":{"a":1767225600000,"b":-1}}'
    )
    assert encode_marker(progress) == golden
    read = Progress()
    sent = chunk([(MARKER_KEY, golden)])
    changelog.apply_chunk(sent, CustomerTable(WORDS), OFFSETS, read)
    read.anchor = None
    assert read == progress


def test_a_marker_that_counts_no_rows_can_still_be_read() -> None:
    progress = Progress()
    old = b'{"version":1,"covered":{"events":42},"order":[["events",50]]}'
    changelog.apply_chunk(chunk([(MARKER_KEY, old)]), CustomerTable(WORDS), OFFSETS, progress)
    anchor = Anchor(0, old)
    assert progress == Progress({"events": 42}, [("events", 50)], 0, anchor)


@given(st.dictionaries(st.binary(min_size=1, max_size=8), st.lists(st.integers(0, 9), min_size=5,
       max_size=5), min_size=1, max_size=30))  # fmt: skip
@settings(deadline=None, max_examples=50)
def test_rows_come_back_as_they_were(rows: dict[bytes, list[int]]) -> None:
    table = filled(rows)
    sent = records_of(*changelog.encode_rows(table, np.arange(table.rows)))
    sent.append(marker({"a": 7, "b": 9}))
    restored, progress = CustomerTable(WORDS), Progress()
    assert changelog.apply_chunk(chunk(sent), restored, OFFSETS, progress) == len(rows)
    assert restored.state.tobytes() == table.state.tobytes()
    assert progress.covered == {"a": 7, "b": 9}


def test_the_row_that_has_seen_more_wins_in_either_order() -> None:
    old = records_of(*changelog.encode_rows(filled({b"x": [5, 5, 3, 8, 5]}), np.array([0])))
    new = records_of(*changelog.encode_rows(filled({b"x": [6, 6, 4, 8, 6]}), np.array([0])))
    for order in (old + new, new + old):
        table = CustomerTable(WORDS)
        changelog.apply_chunk(chunk(order), table, OFFSETS, Progress())
        assert table.state.view(np.int64)[0].tolist() == [6, 6, 4, 8, 6]
        # Compaction would keep the last: if that is the wrong one, the right one is written again.
        assert table.take_dirty().tolist() == ([] if order == old + new else [0])


def test_an_older_marker_does_not_turn_back_a_newer_one() -> None:
    progress = Progress()
    sent = [marker({"a": 10}, [("a", 20)], 3), marker({"a": 4}, [("a", 15)], 2)]
    changelog.apply_chunk(chunk(sent), CustomerTable(WORDS), OFFSETS, progress)
    assert (progress.covered, progress.rows) == ({"a": 10}, 3)


def test_a_late_marker_of_an_earlier_generation_does_not_hide_the_order_of_the_owner() -> None:
    owner, late = [("a", 4), ("b", 2), ("a", 9)], [("a", 4), ("b", 7)]
    for sent in (
        [marker({}, owner, generation=3), marker({"a": 4}, late, generation=2)],
        [marker({"a": 4}, late, generation=2), marker({}, owner, generation=3)],
    ):
        progress = Progress()
        changelog.apply_chunk(chunk(sent), CustomerTable(WORDS), OFFSETS, progress)
        assert (progress.covered, progress.order) == ({"a": 4}, owner)


def test_a_tombstone_erases_the_customer() -> None:
    table = filled({b"x": [1, 1, 1, 1, 1]})
    progress = Progress()
    changelog.apply_chunk(chunk([(b"x", None)]), table, OFFSETS, progress)
    assert not table.state.any()
    assert (len(table), table.find(b"x"), list(table.keys())) == (0, -1, [])
    assert progress.erased == {b"x"}


def test_who_comes_back_after_a_tombstone_begins_with_nothing_else() -> None:
    row = records_of(*changelog.encode_rows(filled({b"x": [5, 5, 3, 8, 5]}), np.array([0])))
    late = records_of(*changelog.encode_rows(filled({b"x": [6, 6, 4, 8, 6]}), np.array([0])))
    gone: list[tuple[bytes, bytes | None]] = [(b"x", None)]
    for pieces in ([late + gone + row], [late, gone, row]):
        table = CustomerTable(WORDS)
        for sent in pieces:
            changelog.apply_chunk(chunk(sent), table, OFFSETS, Progress())
        (found,) = table.live.tolist()
        assert (table.key(found), table.find(b"x"), len(table)) == (b"x", found, 1)
        assert table.state.view(np.int64)[found].tolist() == [5, 5, 3, 8, 5]
        assert not table.has_dirty


def test_only_what_was_erased_after_the_marker_that_counts_is_missing_from_it() -> None:
    progress, table = Progress(), filled({b"x": [1] * 5, b"y": [1] * 5, b"z": [1] * 5})
    sent = [(b"x", None), marker({"a": 9}, rows=2), (b"y", None), marker({"a": 4}, rows=7)]
    changelog.apply_chunk(chunk(sent), table, OFFSETS, progress)
    assert (progress.erased, progress.rows, len(table)) == ({b"y"}, 2, 1)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        (b"x", b"\x01" + bytes(8 * WORDS - 1), "expected a row of 41 bytes, got 40 bytes"),
        (b"x", b"\x02" + bytes(8 * WORDS), "expected row version 1"),
        (MARKER_KEY, b"{", "expected a marker"),
        (MARKER_KEY, b'{"x":' + b"[" * 100_000, "expected a marker"),
        (MARKER_KEY, b'{"x":"\xff"}', "expected a marker"),
        (
            MARKER_KEY,
            b'{"version":3,"covered":{}}',
            "expected marker version 1 or 2, got 3",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(key: bytes, value: bytes, says: str) -> None:
    with pytest.raises(StateError, match="log/3 offset 0") as caught:
        changelog.apply_chunk(chunk([(key, value)]), CustomerTable(WORDS), OFFSETS, Progress())
    assert says in str(caught.value)


def test_a_marker_that_covers_the_same_counts_rows_and_names_logs_anew() -> None:
    """One is written after an erasure, and when a log is taken over before any of it is read."""
    log = Source("another id", leader_epoch=3)
    again = encode_marker(Progress({"a": 9}, rows=2, sources={"a": log}))
    sent = [marker({"a": 9}, rows=3), (b"x", None), (MARKER_KEY, again)]
    progress = Progress()
    changelog.apply_chunk(chunk(sent), filled({b"x": [1] * WORDS}), OFFSETS, progress)
    assert (progress.covered, progress.rows) == ({"a": 9}, 2)
    assert (progress.sources, progress.erased) == ({"a": log}, set())
