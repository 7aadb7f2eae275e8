"""Generated lists in events: the kernels, the judge and a plain reading of the same rules agree."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.columns import CategoryColumn
from stream.events.decoder import EventDecoder
from tests.stream.events.lists.lists_harness import (
    CLOSED,
    COLUMNS,
    DECODER,
    HATS,
    LISTS,
    NUMBERS,
    SHOES,
    STRICT,
    decoded,
    event,
)
from tests.stream.events.lists.plain_lists import at, categories, number
from tests.stream.events.plain_reading import Lexeme, Wrong, plain_number

LEAVES = st.sampled_from(
    ["12.5", '"12.50"', "-0.0", "0.1", "1e308", "1e999", '"N/A"', "true", "null", '""', "[]", "{}",
     '"hats"', '"h\\u0061ts"', r'"\ud83d"', '"größe"', "9007199254740993", "7", '"]"', '{"a":[]}']
)  # fmt: skip


def objects(keys: list[str], values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.lists(st.tuples(st.sampled_from(keys), values), max_size=4)
    return pairs.map(lambda them: "{" + ",".join(f'"{k}":{v}' for k, v in them) + "}")


def arrays(elements: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(elements, max_size=5).map(lambda them: "[" + " , ".join(them) + "]")


SIZES = arrays(objects(["n", "c"], LEAVES) | LEAVES)
PRODUCTS = arrays(
    objects(["price", "category", r"pric\u0065"], LEAVES)
    | objects(["sizes", "price"], SIZES | LEAVES)
    | LEAVES
)
ITEMS = arrays(objects(["a"], objects(["b", "c"], LEAVES) | LEAVES) | LEAVES)
PROPERTIES = st.tuples(PRODUCTS | LEAVES, arrays(LEAVES) | LEAVES, LEAVES).map(
    lambda them: '{{"products":{},"tags":{},"value":{}}}'.format(*them)
)


@st.composite
def payloads(draw: st.DrawFn) -> str:
    text = event(f'"properties":{draw(PROPERTIES | LEAVES)},"items":{draw(ITEMS)}')
    if draw(st.integers(0, 3)) == 0:
        other = draw(PROPERTIES)
        return f'{{"specversion":"1.0","data":{text},"properties":{other}}}'
    return text


@pytest.mark.slow
@given(st.lists(payloads(), max_size=5), st.sampled_from(["open", "strict", "closed"]))
@settings(max_examples=400)
def test_kernels_judge_and_plain_reading_agree(texts: list[str], name: str) -> None:
    by = {"open": DECODER, "strict": STRICT, "closed": CLOSED}[name]
    found = decoded(*texts, by=by)
    rows = {int(i): k for k, i in enumerate(found.batch.record)}
    counted: Counter[str] = Counter()
    for i, text in enumerate(texts):
        numbers, words, wrong = plain(text, unwraps=by is not CLOSED)
        judged, unreadable = judge(by, text)
        if i not in rows:
            assert judged is None
            assert (by is CLOSED and "specversion" in text) or (by is STRICT and wrong)
            continue
        counted += wrong
        got = found.batch.number[:, rows[i]].tolist(), found.batch.category[:, rows[i]].tolist()
        assert repr(got) == repr((numbers, words)) == repr(judged), text
        assert unreadable == wrong
    assert found.flaws.by_path() == counted or by is STRICT
    assert set(found.flaws.examples) == set(found.flaws.by_path())


def judge(by: EventDecoder, text: str) -> tuple[Any, Counter[str]]:
    """What the slow decoder alone makes of a record: an escaped key keeps it from the kernels."""
    escaped = text.replace('"userId"', r'"us\u0065rId"')
    alone = decoded(escaped, by=by)
    if alone.rejects:
        return None, Counter()
    columns = alone.batch.number[:, 0].tolist(), alone.batch.category[:, 0].tolist()
    return columns, alone.flaws.by_path()


def plain(text: str, *, unwraps: bool) -> tuple[list[float], list[int], Counter[str]]:
    root = json.loads(text, parse_int=Lexeme, parse_float=Lexeme)
    roots = [root["data"], root] if unwraps and "specversion" in root else [root]
    total: Counter[str] = Counter()

    def first(path: str) -> Any:
        return next((it for one in roots if (it := at(one, path)) is not None), None)

    def counted(path: str, reading: Any) -> Any:
        wrong: Counter[str] = Counter()
        head, *way = path.split("[]")
        value = reading(first(head), [part.lstrip(".") for part in way], wrong)
        value = list(value) if reading is categories else value
        total[path] += wrong["unreadable"]
        return value

    numbers = [
        counted(path, number) if "[]" in path else single(first(path), path, total)
        for path in NUMBERS
    ]
    hashes = {path: counted(path, categories) for path in LISTS}
    words = [0, *(kept(column, hashes[column.path]) for column in COLUMNS)]
    return numbers, words, +total


def single(value: Any, path: str, total: Counter[str]) -> float:
    try:
        return plain_number(value)
    except Wrong:
        total[path] += 1
        return math.nan


def kept(column: CategoryColumn, hashes: list[int]) -> int:
    if column.keeps == "chosen":
        return next((one for one in hashes if one in (HATS, SHOES)), 0)
    if column.keeps == "mask":
        return sum({1 << one % 64 for one in hashes})
    buckets = Counter(one % 11 for one in hashes)
    own = range(column.first_bucket, column.first_bucket + 8)
    return int.from_bytes(bytes(min(buckets[b], 255) for b in own), "little")
