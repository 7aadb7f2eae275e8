"""Lists in events: kernels, judge and a plain reading of the rules agree, and each rule by example."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.campaign.file import EventMapping
from stream.columns import CategoryColumn
from stream.compiled.category_hash import category_hash
from stream.errors import CampaignError
from stream.events.decoder import EventDecoder
from stream.events.flaws import Decoded
from stream.events.reasons import Judge
from tests.stream.events.events_harness import NOW_MS, TYPES, chunk_of
from tests.stream.events.lists.plain_lists import at, categories, number
from tests.stream.events.plain_reading import Lexeme, Wrong, plain_number

NUMBERS = (
    "properties.products[].price", "properties.products[]", "properties.value",
    "properties.products[].sizes[].n", "properties.products[].sizes[]", "items[].a.b",
)  # fmt: skip
SINGLE = ("properties.currency",)
LISTS = ("properties.products[].category", "properties.tags[]", "properties.products[].sizes[].c")
HATS, SHOES = category_hash(b"hats"), category_hash(b"shoes")
COLUMNS = tuple(
    column
    for path in LISTS
    for column in (
        CategoryColumn(path, "mask"),
        CategoryColumn(path, "counts", buckets=11, first_bucket=8),
        CategoryColumn(path, "counts", buckets=11),
        CategoryColumn(path, "chosen", values=(HATS, SHOES)),
    )
)
PATHS = (*NUMBERS, *SINGLE, *LISTS)


def decoder(**mapping: Any) -> EventDecoder:
    return EventDecoder(EventMapping(**mapping), TYPES, NUMBERS, SINGLE, columns=COLUMNS)


DECODER, STRICT, CLOSED = decoder(), decoder(strict=True), decoder(cloudevents=False)


def event(text: str) -> str:
    return f'{{"userId":"u","type":"view","timestamp":1760000000,{text}}}'


def decoded(*texts: str, by: EventDecoder = DECODER) -> Decoded:
    return by.decode(chunk_of([text.encode() for text in texts], NOW_MS), NOW_MS)


def of_products(products: Any, by: EventDecoder = DECODER) -> dict[str, float]:
    found = decoded(event(f'"properties":{{"products":{json.dumps(products)}}}'), by=by)
    assert not found.rejects
    return dict(zip(NUMBERS, found.batch.number[:, 0].tolist(), strict=True))


@pytest.mark.parametrize(
    ("products", "price", "count"),
    [
        ([{"price": 1.5}, {"price": "2"}], 3.5, 2),
        ([{"price": 0.1}, {"price": 0.2}, {"price": 0.3}], 0.1 + 0.2 + 0.3, 3),
        ([], 0.0, 0),
        ([{"price": "n/a"}, {"price": 4}, {}, 5, None], 4.0, 5),
        ([{"price": "n/a"}, {}], math.nan, 2),
        ([None], math.nan, 1),
        (None, math.nan, math.nan),
        ("", math.nan, math.nan),
        ({"price": 3}, math.nan, math.nan),
        ([[{"price": 3}]], math.nan, 1),
        ([{"price": 1e308}, {"price": 1e308}], math.nan, 2),
    ],
)
def test_a_list_is_the_sum_of_what_is_known(products: Any, price: float, count: float) -> None:
    found = of_products(products)
    assert found["properties.products[].price"] == pytest.approx(price, abs=0, rel=0, nan_ok=True)
    assert found["properties.products[]"] == pytest.approx(count, abs=0, rel=0, nan_ok=True)


@pytest.mark.parametrize(
    ("products", "n", "count"),
    [
        ([{"sizes": [{"n": 1}, {"n": 2}]}, {"sizes": [{"n": 4}]}], 7.0, 3),
        ([{"sizes": []}, {}], 0.0, 0),
        ([{}], math.nan, math.nan),
        ([{"sizes": [{}]}, {"sizes": 3}], math.nan, 1),
        ([], 0.0, 0),
    ],
)
def test_lists_in_lists_add_up_in_the_same_way(products: Any, n: float, count: float) -> None:
    found = of_products(products)
    assert found["properties.products[].sizes[].n"] == pytest.approx(n, nan_ok=True)
    assert found["properties.products[].sizes[]"] == pytest.approx(count, nan_ok=True)


def words(texts: str) -> list[int]:
    found: list[int] = (
        decoded(event(f'"properties":{{"tags":{texts}}}')).batch.category[5:9, 0].tolist()
    )
    return found


def test_what_is_kept_of_categories() -> None:
    mask, high, low, chosen = words('["coats","hats","hats","","shoes",null,7,[1],{}]')
    hashes = [category_hash(text) for text in (b"coats", b"hats", b"hats", b"shoes", b"7")]
    assert mask == sum({1 << one % 64 for one in hashes})
    counts = low.to_bytes(8, "little") + high.to_bytes(8, "little")
    assert list(counts[:11]) == [sum(one % 11 == k for one in hashes) for k in range(11)]
    assert not any(counts[11:])
    assert chosen == HATS
    assert words('["coats"]')[3] == 0
    assert words("[]") == [0, 0, 0, 0]


def test_a_bucket_counts_at_most_255_elements_of_an_event() -> None:
    _, high, low, _ = words(json.dumps(["hats"] * 300))
    counts = low.to_bytes(8, "little") + high.to_bytes(8, "little")
    assert counts[HATS % 11] == 255
    assert sum(counts) == 255


def test_what_cannot_be_read_is_counted_by_path_and_told_with_its_place() -> None:
    products = '[{"price":"n/a","category":[]},{"price":{}},{"price":2}]'
    found = decoded(
        event(f'"properties":{{"products":{products}}}'), event('"properties":{"tags":"hats"}')
    )
    assert found.flaws.by_path() == {
        "properties.products[].price": 2, "properties.products[].category": 1, "properties.tags[]": 1,
    }  # fmt: skip
    assert found.flaws.examples == {
        "properties.products[].price": (
            "expected a number at properties.products[0].price, got 'n/a'"
        ),
        "properties.products[].category": (
            "expected a string, a number, true or false at properties.products[0].category, "
            "got an array"
        ),
        "properties.tags[]": "expected a list at properties.tags, got 'hats'",
    }
    present = dict(zip(found.flaws.paths, found.flaws.present.tolist(), strict=True))
    assert present["properties.products[].price"] == 3
    assert present["properties.products[]"] == 1
    assert present["properties.products[].category"] == 1


@pytest.mark.parametrize(
    ("products", "code"),
    [
        ('[{"price":1},{"price":"n/a"}]', "bad_type"), ('{"price":1}', "bad_type"),
        ('[{"price":1e308},{"price":1e308}]', "not_finite"), ('[{"price":1e999}]', "not_finite"),
        ('[{"category":[]}]', "bad_type"), ('[{"sizes":1}]', "bad_type"),
    ],
)  # fmt: skip
def test_a_strict_mapping_refuses_the_record(products: str, code: str) -> None:
    text = event(f'"properties":{{"products":{products}}}')
    assert [reject.code for reject in decoded(text, by=STRICT).rejects] == [code]
    assert not decoded(text).rejects


def test_lists_are_read_without_the_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Judge, "judge_root")
    products = r'[ {"price" : 2 ,"category":"h\u0061ts","x":[{"]":"]}"}]}, {"price":3} ]'
    text = event(f'"properties":{{"products":{products}, "tags" : [ "sh\\u006fes" , "}}" ]}}')
    wrapped = f'{{"specversion":"1.0","data":{text}}}'
    for found in (decoded(text, text), decoded(wrapped)):
        assert set(found.batch.number[0].tolist()) == {5.0}
        assert set(found.batch.category[4].tolist()) == {HATS}
        assert set(found.batch.category[8].tolist()) == {SHOES}


def test_one_list_serves_several_properties_and_records_of_any_length() -> None:
    texts = [
        event(f'"properties":{{"products":{json.dumps([{"price": 1}] * n)}}}') for n in range(40)
    ]
    found = decoded(*texts).batch.number
    assert found[0].tolist() == found[1].tolist() == list(range(40))


@pytest.mark.parametrize("path", ["a[]b", "a[][0]", "a[].", "a[][]", "[].a"])
def test_what_is_no_list_path_is_refused(path: str) -> None:
    with pytest.raises(CampaignError, match=r"expected a path such as .* at character"):
        EventDecoder(EventMapping(), TYPES, [path], [])


def test_a_list_names_no_customer() -> None:
    with pytest.raises(CampaignError, match=r"ids\[\]': at character \d an index \(\[\]"):
        EventDecoder(EventMapping(customer_id=("ids[]",)), TYPES, [], [])


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
