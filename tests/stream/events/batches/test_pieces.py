"""Where elements stand in JSON, and how chunks are cut that would unfold to too much."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.campaign.field_path import steps
from stream.campaign.file import EventMapping
from stream.columns import RecordChunk
from stream.events.batches import pieces
from stream.events.batches.array_place import array_place
from stream.events.batches.element_kernels import find_elements
from tests.stream.events.batches.batches_harness import decoder_of, who
from tests.stream.events.events_harness import NOW_MS, chunk_of

SEGMENT = EventMapping(batch="batch")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(st.lists(JSON, max_size=8), st.sampled_from([None, 0, 2]), st.booleans(), st.integers(1, 9))
def test_elements_are_found_where_python_finds_them(
    elements: list[Any], indent: int | None, ascii_only: bool, most: int
) -> None:
    root = {"a": {"batch": 1}, "batch": [[{"batch": elements}], "]"], "ba": [1]}
    value = json.dumps(root, indent=indent, ensure_ascii=ascii_only).encode(
        "utf-8", "surrogatepass"
    )
    try:
        value.decode()
    except UnicodeDecodeError:
        return
    at = array_place(value, steps("batch[0][0].batch"))
    count, end = np.zeros((2, 2), np.int64)
    start, size = np.empty((2, 8), np.int64)
    data = np.frombuffer(value, np.uint8)
    begins, stop = np.array([-1, at]), np.array([5, len(value)])
    done, used = find_elements(data, begins, stop, most, 0, 0, count, end, start, size)
    assert (done, count.tolist()) == (2, [-1, len(elements)])
    assert json.loads(value[at : end[1]]) == elements
    spans = zip(start[:used].tolist(), size[:used].tolist(), strict=True)
    found = [json.loads(value[begin : begin + length]) for begin, length in spans]
    assert found == (elements if len(elements) <= most else [])


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=12),
    st.integers(1, 60),
    st.booleans(),
)
def test_a_cut_chunk_comes_to_the_same(sizes: list[int], most: int, with_null: bool) -> None:
    values: list[bytes | None] = [
        json.dumps({"userId": f"u{i}", "batch": [{"event": "view"}] * size}).encode()
        for i, size in enumerate(sizes)
    ]
    values += [None] if with_null else []
    chunk, decoder = chunk_of(values, NOW_MS), decoder_of()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE_EVENTS_MAX", most)
        parts = list(decoder.pieces(chunk))
    assert [at for part in parts for at in part.offset.tolist()] == chunk.offset.tolist()
    ends = [part.next_offset for part in parts]
    assert ends == [*(int(part.offset[0]) for part in parts[1:]), chunk.next_offset]
    for part in parts:
        bound = decoder.events_bound(part)
        assert len(part) == 1 or bound.sum() <= most
        found = decoder.decode(part, NOW_MS)
        assert (np.bincount(found.batch.record, minlength=len(part)) <= bound).all()
    whole = who(decoder.decode(chunk, NOW_MS))
    cut = [
        (int(part.offset[one[0]]) - 100, *one[1:])
        for part in parts
        for one in who(decoder.decode(part, NOW_MS))
    ]
    assert cut == whole


def test_without_batches_nothing_is_cut() -> None:
    chunk: RecordChunk = chunk_of([b"," * 100_000] * 3, NOW_MS)
    decoder = decoder_of(EventMapping())
    assert list(decoder.pieces(chunk)) == [chunk]
    assert decoder.events_bound(chunk).tolist() == [1, 1, 1]
