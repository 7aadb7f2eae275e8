"""What the doctor counts at paths that lead into lists, and through indices and quoted keys."""

from __future__ import annotations

from typing import Any

import pytest

from trainer.doctor.paths import count_path, paths_of

PRODUCTS = [{"price": 1.5, "kind": "hat"}, {"price": "n/a"}, {"sizes": [{"n": 1}, {"n": {}}]}, 3]
EVENTS: list[dict[str, Any]] = [
    {"userId": "u", "p": {"products": PRODUCTS, "tags": ["a", "", None, "b"], "x.y": [7]}},
    {"specversion": "1.0", "data": {"p": {"products": [], "tags": "a"}}},
    {"p": {"products": None}},
]


@pytest.mark.parametrize(
    ("path", "wanted", "seen", "unreadable"),
    [
        ("p.products[].price", "number", 2, 1),
        ("p.products[].kind", "category", 1, 0),
        ("p.products[]", "number", 2, 0),
        ("p.products[]", "category", 4, 3),
        ("p.products[].sizes[].n", "number", 2, 1),
        ("p.products[].sizes[]", "number", 1, 0),
        ("p.tags[]", "category", 3, 1),
        ("p.products[0].price", "number", 1, 0),
        ('p."x.y"[0]', "number", 1, 0),
    ],
)
def test_each_element_counts(path: str, wanted: str, seen: int, unreadable: int) -> None:
    found = count_path(path, wanted, EVENTS, {}, personal=False)
    assert (found.seen, found.unreadable) == (seen, unreadable)


def test_a_list_is_named_when_a_path_forgets_it() -> None:
    seen = paths_of(EVENTS)
    assert seen["p.products[].price"] == 1
    assert seen['p."x.y"[]'] == 1
    found = count_path("p.products.price", "number", EVENTS, seen, personal=False)
    assert "p.products[].price" in found.close
