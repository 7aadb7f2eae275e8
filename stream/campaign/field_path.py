"""Paths into the JSON of an event, taken apart: keys, keys in quotes, elements of arrays."""

from __future__ import annotations

import functools
import re
from typing import TypeAlias

from stream.errors import CampaignError

Steps: TypeAlias = tuple[str | int, ...]
"""From the root on: a key of an object, or an index of an array."""

_KEY = re.compile(r'"((?:[^"\\]|\\["\\])*)"|([^."\[\]]+)')
_INDEX = re.compile(r"\[(0|[1-9][0-9]{0,3})\]")
_ESCAPE = re.compile(r"\\(.)")


@functools.cache
def steps(path: str) -> Steps:
    """The steps of a path such as `properties.products[0].sku` or `consent."Customer.io"`.

    Raises:
        CampaignError: It is no path.
    """
    found: list[str | int] = []
    at = 0
    while True:
        key = _KEY.match(path, at)
        if key is None:
            raise _wrong(path, at, "a key; one with dots, brackets or quotes stands in quotes")
        found.append(key[2] if key[1] is None else _ESCAPE.sub(r"\1", key[1]))
        at = key.end()
        while at < len(path) and path[at] == "[":
            index = _INDEX.match(path, at)
            if index is None:
                raise _wrong(path, at, "an index from [0] to [9999]")
            found.append(int(index[1]))
            at = index.end()
        if at == len(path):
            return tuple(found)
        if path[at] != ".":
            raise _wrong(path, at, "a dot, an index or the end")
        at += 1


def _wrong(path: str, at: int, expected: str) -> CampaignError:
    return CampaignError(
        "expected a path such as properties.revenue, properties.products[0].sku or "
        f'context.consent."Customer.io", got {path!r}: at character {at + 1} {expected} is expected'
    )
