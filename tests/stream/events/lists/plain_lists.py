"""What docs/events.md says of lists, once more as plainly as Python says it: the oracle of their kernels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.stream.events.plain_reading import Wrong, plain_category, plain_number


def at(root: Any, path: str) -> Any:
    for key in path.split("."):
        root = root.get(key) if type(root) is dict else None
    return None if root == "" else root


def number(there: Any, way: list[str], wrong: Counter[str]) -> float:
    """`way` has the paths between the brackets that follow; the last is "" for the elements."""
    if there is None:
        return math.nan
    if type(there) is not list:
        wrong["unreadable"] += 1
        return math.nan
    if way == [""]:
        return float(len(there))
    values = []
    for one in there:
        inner = at(one, way[0])
        if len(way) > 1:
            values.append(number(inner, way[1:], wrong))
            continue
        try:
            values.append(plain_number(inner))
        except Wrong:
            wrong["unreadable"] += 1
    known = [value for value in values if not math.isnan(value)]
    if there and not known:
        return math.nan
    total = 0.0
    for value in known:
        total += value
    if math.isinf(total):
        wrong["unreadable"] += 1
        return math.nan
    return total


def categories(there: Any, way: list[str], wrong: Counter[str]) -> Iterator[int]:
    if there is None:
        return
    if type(there) is not list:
        wrong["unreadable"] += 1
        return
    for one in there:
        inner = at(one, way[0]) if way[0] else (None if one == "" else one)
        if len(way) > 1:
            yield from categories(inner, way[1:], wrong)
        else:
            try:
                yield from filter(None, [plain_category(inner)])
            except Wrong:
                wrong["unreadable"] += 1
