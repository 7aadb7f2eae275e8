"""Lists in events, each rule by example."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import pytest

from stream.campaign.file import EventMapping
from stream.compiled.category_hash import category_hash
from stream.errors import CampaignError
from stream.events.decoder import EventDecoder
from stream.events.reasons import Judge
from tests.stream.events.events_harness import TYPES
from tests.stream.events.lists.lists_harness import (
    DECODER,
    HATS,
    NUMBERS,
    SHOES,
    STRICT,
    decoded,
    event,
)


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


def test_lists_in_data_that_is_base64_are_read() -> None:
    inside = event('"properties":{"products":[{"price":1},{"price":4}],"tags":["hats"]}')
    data = base64.b64encode(inside.encode()).decode()
    text = f'{{"specversion":"1.0","id":"1","data_base64":"{data}"}}'
    found = decoded(event('"properties":{}'), text).batch
    assert found.number[0].tolist()[1] == 5.0
    assert found.category[8].tolist() == [0, HATS]


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
