"""The JSON scan against the standard library's parser."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream.campaign.field_path import steps
from stream.columns import Spans
from stream.events.paths import compile_trie
from stream.events.scan import (
    ARRAY,
    DEPTH_MAX,
    FALSE,
    MISSING,
    NULL,
    NUMBER,
    OBJECT,
    STRING,
    TRUE,
    Scan,
    scan,
)

PATHS = ("a", "b", "a.b", "a.b.a", "b.é", "b.é.a", '""', '"".""', "a.b.long key with blanks", "c")
TRIE, NODE_OF = compile_trie(PATHS)


class Lexeme(str):
    """A number as it was written."""

    __slots__ = ()


def spans(values: Sequence[bytes]) -> Spans:
    """Values with other bytes before, between and after them."""
    gap = b'"}]'
    starts = np.cumsum([len(gap), *(len(value) + len(gap) for value in values)])[:-1]
    data = np.frombuffer(gap + gap.join(values) + gap, np.uint8)
    sizes = np.array([len(value) for value in values], np.int64)
    return Spans(data, starts.astype(np.int64), sizes)


def scanned(*values: bytes) -> Scan:
    return scan(spans(values), np.ones(len(values), np.bool_), TRIE)


def accepts(*values: bytes) -> list[bool]:
    found: list[bool] = scanned(*values).ok.tolist()
    return found


def strict(value: bytes) -> Any:
    """The standard library's answer: raises ValueError for what is not JSON."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(value.decode(), parse_int=Lexeme, parse_float=Lexeme, parse_constant=refuse)


def expected(root: Any, path: str) -> tuple[int, bytes]:
    """Kind and plain text of the value at a path."""
    value = root
    for key in steps(path):
        if not isinstance(value, dict) or key not in value:
            return MISSING, b""
        value = value[key]
    if isinstance(value, str):
        return NUMBER if isinstance(value, Lexeme) else STRING, value.encode()
    if isinstance(value, dict | list):
        return OBJECT if isinstance(value, dict) else ARRAY, b""
    return {True: (TRUE, b"true"), False: (FALSE, b"false"), None: (NULL, b"null")}[value]


def assert_values(found: Scan, i: int, value: bytes) -> None:
    root = strict(value)
    assert isinstance(root, dict)
    for path, node in NODE_OF.items():
        kind = int(found.kind[i, node])
        start, size = found.span[i, node].tolist() if kind != MISSING else (0, 0)
        assert (kind, found.data[start : start + size].tobytes()) == expected(root, path), path


# JSON as text, so that white space, escapes, number forms and equal keys all come up.
SPACE = st.sampled_from(["", "", "", " ", "\n\t", "\r "])
NUMBERS = st.from_regex(
    r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True
)
PLAIN_TEXT = st.text(st.characters(codec="utf-8", exclude_characters='"\\', min_codepoint=0x20))
ESCAPES = st.sampled_from(
    [r"\"", r"\\", r"\/", r"\b", r"\n", r"\u0000", r"\u00e9", r"\u20AC", r"\ud83d\ude00", r"\uD7ff"]
)
PLAIN_STRINGS = PLAIN_TEXT.map(lambda text: f'"{text}"')
STRINGS = st.lists(PLAIN_TEXT | ESCAPES, max_size=4).map(lambda parts: f'"{"".join(parts)}"')
KEYS = st.sampled_from(["a", "a", "b", "b", "é", "", "long key with blanks", "c", "d"]).map(
    lambda key: f'"{key}"'
)
SCALARS = STRINGS | NUMBERS | st.sampled_from(["true", "false", "null"])


@st.composite
def containers(draw: st.DrawFn, children: st.SearchStrategy[str]) -> str:
    is_object = draw(st.booleans())
    members = []
    for child in draw(st.lists(children, max_size=4)):
        key = f"{draw(KEYS)}{draw(SPACE)}:{draw(SPACE)}" if is_object else ""
        members.append(f"{draw(SPACE)}{key}{child}{draw(SPACE)}")
    inside = ",".join(members) or draw(SPACE)
    return f"{{{inside}}}" if is_object else f"[{inside}]"


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    values = st.recursive(SCALARS, containers, max_leaves=12)
    members = [
        f"{draw(SPACE)}{draw(KEYS)}{draw(SPACE)}:{draw(SPACE)}{draw(values)}{draw(SPACE)}"
        for _ in range(draw(st.integers(0, 5)))
    ]
    return f"{draw(SPACE)}{{{','.join(members) or draw(SPACE)}}}{draw(SPACE)}".encode()


@pytest.mark.slow
@given(st.lists(objects(), min_size=1, max_size=3))
@settings(max_examples=150)
@example([b'{"a":{"b":{"a":1}},"a":{"c":2}}', b'{"a":{"b":1},"a":{}}', b'{"a":{"b":1},"a":2}'])
def test_valid_records_are_accepted_and_read_as_json_reads_them(values: list[bytes]) -> None:
    found = scanned(*values)
    assert found.ok.all()
    for i, value in enumerate(values):
        assert_values(found, i, value)


@pytest.mark.slow
@given(objects(), st.data())
@settings(max_examples=400)
def test_nothing_is_accepted_that_the_standard_library_refuses(
    value: bytes, data: st.DataObject
) -> None:
    mutated = bytearray(value)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(mutated)))
        cut = data.draw(st.integers(0, 2))
        into = st.binary(max_size=2) | st.sampled_from(list(b'"\\{}[]:,.0-+eE \xc3')).map(
            lambda byte: bytes([byte])
        )
        mutated[at : at + cut] = data.draw(into)
    value = bytes(mutated)
    found = scanned(value)
    if found.ok[0]:
        assert_values(found, 0, value)
        with contextlib.suppress(msgspec.ValidationError):  # well-formed, but beyond float64
            msgspec.json.decode(value)


MALFORMED = [
    b"", b" ", b"{", b"}", b'{"a"}', b'{"a":}', b'{"a":1,}', b'{,"a":1}', b'{"a":1 "b":2}',
    b'{"a" 1}', b"{a:1}", b"{'a':1}", b'{"a":1}}', b'{"a":1}x', b'{"a":1} {}', b'{"a":[1,]}',
    b'{"a":[,1]}', b'{"a":[1 2]}', b'{"a":[1}', b'{"a":{"b":1]}', b'{"a":[}]', b"{1:2}",
    b'{"a":01}', b'{"a":-}', b'{"a":+1}', b'{"a":1.}', b'{"a":.5}', b'{"a":1e}', b'{"a":1e+}',
    b'{"a":0x1}', b'{"a":-01}', b'{"a":1_0}', b'{"a":1.5.5}', b'{"a":NaN}', b'{"a":Infinity}',
    b'{"a":-Infinity}', b'{"a":nul}', b'{"a":truE}', b'{"a":truex}', b'{"a":fals', b'{"a":True}',
    b'{"a":"x}', b'{"a":"\\x"}', b'{"a":"\\u12"}', b'{"a":"\\u12g4"}', b'{"a":"\\"}', b'{"a":"\n"}',
    b'{"a":"\x00"}', b'{"a":"\x1f"}', b'{"a":1}\x00', b'{"a":1//c\n}', b'\xef\xbb\xbf{"a":1}',
    b'{"a":\x0b1}', b'{"a":\xc2\xa01}', b'{"a":"\\', b'{"a":"\\u', b'{"a":[[1]}', b"{:1}",
    b'{"a"::1}', b'{"a":1,,"b":2}', b'{"\xff":1}', b'{"a":"\xff"}', b'{"a":[1]]}', b'{"a":--1}',
]  # fmt: skip


@pytest.mark.parametrize("value", MALFORMED)
def test_malformed_json_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError):
        strict(value)
    assert accepts(value) == [False]


@pytest.mark.parametrize(
    "value",
    [
        rb'{"a":"\ud800"}', rb'{"a":"\udc00\ud800"}', rb'{"a":"\ud800\u0041"}', rb'{"c":"\ud83d"}', rb'{"c":"\ud83d\ue000"}',
        rb'{"\u0061":1}', b"[]", b"1", b'"a"', b"null",
    ],
)  # fmt: skip
def test_json_that_is_not_clear_is_left_to_the_judge(value: bytes) -> None:
    strict(value)
    assert accepts(value) == [False]


def test_an_escaped_key_where_nothing_is_wanted_does_no_harm() -> None:
    assert accepts(rb'{"d":{"\u0061":1},"a":1}') == [True]


def test_depth_is_bounded() -> None:
    def nested(depth: int) -> bytes:
        return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"

    assert accepts(nested(DEPTH_MAX), nested(DEPTH_MAX + 1), nested(100_000)) == [
        True, False, False,
    ]  # fmt: skip


def test_utf8_is_checked_as_python_checks_it() -> None:
    tails = [b"", b"\x7f", b"\x80", b"\xbf", b"\xc0"]
    characters = [bytes([lead]) for lead in range(0x80, 0x100)]
    characters += [bytes([lead, second]) for lead in range(0x80, 0x100) for second in range(0x100)]
    characters += [
        bytes([lead, second]) + third + fourth
        for lead in range(0xE0, 0x100)
        for second in (0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0)
        for third in tails[1:]
        for fourth in tails
    ]

    def is_utf8(text: bytes) -> bool:
        try:
            text.decode()
        except UnicodeDecodeError:
            return False
        return True

    assert accepts(*(b'{"a":"' + c + b'"}' for c in characters)) == list(map(is_utf8, characters))


@given(st.text(st.characters(codec="utf-8"), max_size=20), st.booleans())
@example("\U00010000\U000103ff\U0010fc00\U0010ffff", True)
def test_escapes_are_resolved(text: str, everything: bool) -> None:
    body = json.dumps(text)[1:-1]
    if everything:
        units = text.encode("utf-16-be")
        body = "".join(f"\\u{units[k]:02X}{units[k + 1]:02x}" for k in range(0, len(units), 2))
    value = f'{{"a":"{body}","b":"plain"}}'.encode()
    found = scanned(value)
    assert_values(found, 0, value)


def test_the_buffer_is_copied_only_for_escapes_in_wanted_strings() -> None:
    plain = spans([b'{"a":"x","d":"\\n"}'])
    found = scan(plain, np.ones(1, np.bool_), TRIE)
    assert np.shares_memory(found.data, plain.data)
    escaped = scanned(b'{"a":"x\\ty"}')
    start, size = escaped.span[0, NODE_OF["a"]]
    assert escaped.data[start : start + size].tobytes() == b"x\ty"


def test_records_that_are_not_eligible_are_not_read() -> None:
    value = spans([b'{"a":1}', b'{"a":2}'])
    value.size[0] = -1
    found = scan(value, np.array([False, True]), TRIE)
    assert found.ok.tolist() == [False, True]
    assert found.kind[0].max() == MISSING


def test_a_record_ends_where_it_ends() -> None:
    data = np.frombuffer(b'{"a":[true,-1.5e1,"\\n\\u00e9\xe2\x82\xac"]}', np.uint8)
    ends = np.arange(len(data) + 1)
    found = scan(Spans(data, np.zeros_like(ends), ends), np.ones(len(ends), np.bool_), TRIE)
    assert found.ok.tolist() == [False] * len(data) + [True]


@given(st.lists(st.from_regex(r"[ab]{1,3}(\.[ab]{1,2}){0,2}", fullmatch=True), max_size=40))
@example(["a" * 17])  # shares its slot with "a"
def test_the_trie_finds_each_path_and_no_other(paths: list[str]) -> None:
    trie, node_of = compile_trie(paths)
    assert set(node_of) == set(paths)
    for path in {*paths, "a", "b.b", "a.b.a"}:
        value = "1"
        for key in reversed(steps(path)):
            value = f'{{"{key}":{value}}}'
        found = scan(spans([value.encode()]), np.ones(1, np.bool_), trie)
        numbers = [p for p, node in node_of.items() if found.kind[0, node] == NUMBER]
        assert numbers == ([path] if path in paths else [])
