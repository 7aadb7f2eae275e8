"""Paths: what is one, and that kernel and judge find the same places, also in arrays."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.campaign.field_path import around, steps
from stream.campaign.file import EventMapping
from stream.columns import Spans
from stream.compiled.category_hash import category_hash
from stream.errors import CampaignError
from stream.events.decoder import EventDecoder
from stream.events.paths import compile_trie
from stream.events.present import first_present
from stream.events.reasons import Judge
from stream.events.scan import ARRAY, MISSING, NULL, OBJECT, scan
from tests.stream.events.events_harness import NOW_MS, TYPES, chunk_of


@pytest.mark.parametrize(
    ("path", "outer"),
    [
        ("a", ""), ("a.b", "a"), ("a.b.c", "a.b"), ("a[0]", "a"), ("a[0].b", "a[0]"),
        ('a."Customer.io".b', 'a."Customer.io"'), ("header:a.b", ""),
    ],
)  # fmt: skip
def test_what_a_value_is_in(path: str, outer: str) -> None:
    assert around(path) == outer


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("userId", ("userId",)), ("a.b.c", ("a", "b", "c")), ("a[0].b", ("a", 0, "b")),
        ("a[12][3]", ("a", 12, 3)), ('c."Customer.io".x', ("c", "Customer.io", "x")),
        ('"a.b"[0]', ("a.b", 0)), (r'"say \"hi\\"', ('say "hi\\',)), ('""', ("",)),
        ("traits.größe $x", ("traits", "größe $x")), ("pixel_{0..3}", ("pixel_{0", "", "3}")),
    ][:-1],
)  # fmt: skip
def test_paths_and_their_steps(path: str, parts: tuple[str | int, ...]) -> None:
    assert steps(path) == parts


@pytest.mark.parametrize(
    ("path", "at", "expected"),
    [
        ("a..b", 3, "a key"), (".a", 1, "a key"), ("a.", 3, "a key"), ("[0]", 1, "a key"),
        ("a[-1]", 2, "an index"), ("a[01]", 2, "an index"),
        ("a[10000]", 2, "an index"), ("a[0]b", 5, "a dot"), ('a"b"', 2, "a dot"),
        ('"a', 1, "a key"), ("a]", 2, "a dot"), ('"a"b', 4, "a dot"), ("a.[0]", 3, "a key"),
    ],
)  # fmt: skip
def test_what_is_no_path_is_refused_with_the_place(path: str, at: int, expected: str) -> None:
    said = rf"got {re.escape(repr(path))}: at character {at} {expected}"
    with pytest.raises(CampaignError, match=said):
        EventDecoder(EventMapping(), TYPES, [path], [])


def test_elements_and_keys_with_dots_are_read_without_the_judge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(Judge, "judge")
    mapping = EventMapping(consent=('context.consent."Customer.io"',))
    decoder = EventDecoder(
        mapping, TYPES, ["properties.products[1].price", "m[0][1]"], ["properties.products[0].sku"]
    )
    event: dict[str, Any] = {
        "type": "view", "userId": "u", "context": {"consent": {"Customer.io": False}},
        "properties": {"products": [{"sku": "s-1", "price": 1}, {"price": 2.5, "sku": "s-2"}, 3]},
        "m": [[0, 7], [0, 8]],
    }  # fmt: skip
    short = event | {"properties": {"products": [3]}, "m": {"0": [0, 9]}}
    found = decoder.decode(
        chunk_of([json.dumps(e).encode() for e in (event, short)], NOW_MS), NOW_MS
    )
    assert found.batch.consent.tolist() == [[0, 0]]
    assert np.array_equal(found.batch.number, [[2.5, np.nan], [7, np.nan]], equal_nan=True)
    assert found.batch.category.tolist() == [[category_hash(b"s-1"), 0]]


PATHS = [
    "a",
    "a[0]",
    "a[1]",
    "a[1].b",
    "a[1].b[2]",
    "a.b",
    "a[3][0]",
    "c[0]",
    "c[11]",
    'a."x.y"[0]',
]
KEYS = st.sampled_from(["a", "b", "c", "x.y", "d"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "x", "]}", '"']),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=20,
)


@given(
    st.dictionaries(KEYS, VALUES, max_size=3),
    st.lists(VALUES, max_size=13),
    st.lists(st.sampled_from(PATHS), min_size=1, unique=True),
)
@settings(max_examples=400)
def test_the_scan_finds_what_plain_python_finds(
    root: dict[str, Any], elements: list[Any], paths: list[str]
) -> None:
    root = {**root, "c": elements} if elements else root
    text = json.dumps(root, ensure_ascii=False).encode()
    trie, node_of = compile_trie(paths)
    found = scan(Spans.of([text]), np.array([True]), trie)
    assert found.ok.tolist() == [True]
    for path in paths:
        kind, (start, size) = found.kind[0, node_of[path]], found.span[0, node_of[path]]
        there = first_present(root, (path,))
        if there is None:
            assert kind <= NULL or size == 0
        elif isinstance(there.value, dict | list):
            assert kind == (OBJECT if isinstance(there.value, dict) else ARRAY)
        else:
            said = found.data[start : start + size].tobytes().decode()
            assert kind != MISSING
            assert (
                said == there.value
                if isinstance(there.value, str)
                else said == json.dumps(there.value)
            )


def test_of_equal_keys_the_last_array_counts() -> None:
    trie, node_of = compile_trie(["a[0]", "a[1]", "a"])
    found = scan(
        Spans.of([b'{"a":[1,2],"a":[3]}', b'{"a":[1],"a":{"0":2}}']), np.ones(2, np.bool_), trie
    )
    first = node_of["a[0]"]
    assert found.data[found.span[0, first, 0]] == ord("3")
    assert found.kind[:, node_of["a[1]"]].tolist() == [MISSING, MISSING]
    assert found.kind[1, first] == MISSING
