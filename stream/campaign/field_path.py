"""Paths into the JSON of an event, taken apart: keys, keys in quotes, elements of arrays, whole lists, and where these may be."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

from stream.campaign.operator_table import OPERATORS
from stream.errors import CampaignError

if TYPE_CHECKING:
    from stream.campaign.file import Campaign

Steps: TypeAlias = tuple[str | int, ...]
"""From the root on: a key of an object, or an index of an array."""

_KEY = re.compile(r'"((?:[^"\\]|\\["\\])*)"|([^."\[\]]+)')
_INDEX = re.compile(r"\[(0|[1-9][0-9]{0,3})\]")
_LIST = "[]"
_ESCAPE = re.compile(r"\\(.)")
_ONE_VALUE = {
    "training": ("strategy_property", "propensity_property"),
    "contacts": ("strategy_property", "time_property"),
}


def steps(path: str) -> Steps:
    """The steps of a path such as `properties.products[0].sku` or `consent."Customer.io"`.

    Raises:
        CampaignError: It is no path, or leads into each element of a list.
    """
    (text, found), *more = _parsed(path)
    if more:
        where = "[] may stand only in `property` of a feature and in `where` of a suppression"
        raise _wrong(path, len(text), f"an index ({where})")
    return found


def list_parts(path: str) -> tuple[str, ...]:
    """The paths between the lists of a path: `a.products[].price` has ("a.products", "price").

    The last is "" where a path ends with a list; a path without lists is all there is.

    Raises:
        CampaignError: It is no path.
    """
    return tuple(text for text, _ in _parsed(path))


def has_list(path: str) -> bool:
    """Whether a path, or what is to become one, leads into each element of a list."""
    return _LIST in _KEY.sub("", path)


@functools.cache
def _parsed(path: str) -> tuple[tuple[str, Steps], ...]:
    """Text and steps of each of `list_parts`."""
    parts: list[tuple[str, Steps]] = []
    found: list[str | int] = []
    first = at = 0
    while True:
        key = _KEY.match(path, at)
        if key is None:
            raise _wrong(path, at, "a key; one with dots, brackets or quotes stands in quotes")
        found.append(key[2] if key[1] is None else _ESCAPE.sub(r"\1", key[1]))
        at = key.end()
        while path.startswith("[", at) and not path.startswith(_LIST, at):
            index = _INDEX.match(path, at)
            if index is None:
                raise _wrong(path, at, "an index from [0] to [9999]")
            found.append(int(index[1]))
            at = index.end()
        is_list = path.startswith(_LIST, at)
        if is_list or at == len(path):
            parts.append((path[first:at], tuple(found)))
        at += len(_LIST) if is_list else 0
        if at == len(path):
            return (*parts, ("", ())) if is_list else tuple(parts)
        if path[at] != ".":
            raise _wrong(path, at, "a dot or the end" if is_list else "a dot, an index or the end")
        at += 1
        if is_list:
            first, found = at, []


def quoted(key: str) -> str:
    """A key as a step of a path, in quotes where it needs them."""
    match = _KEY.fullmatch(key)
    if match is not None and match[1] is None:
        return key
    return '"' + re.sub(r'(["\\])', r"\\\1", key) + '"'


def _wrong(path: str, at: int, expected: str) -> CampaignError:
    return CampaignError(
        "expected a path such as properties.revenue, properties.products[0].sku or "
        f'context.consent."Customer.io", got {path!r}: at character {at + 1} {expected} is expected'
    )


def wrong_list(campaign: Campaign) -> str:
    """Which path leads into a list and may not, "" if none does."""
    for where, path in _single(campaign):
        if path is not None and has_list(path):
            return f'at {where}: expected one value of an event and no list [], got "{path}"'
    others = sorted(campaign.events.formats - {"json"})
    if not others:
        return ""
    for where, path in _paths(campaign):
        if has_list(path):
            return (
                f"at {where}: expected no list [] with events.format = "
                f'"{others[0]}", since lists are read from JSON only, got "{path}"'
            )
    return ""


def _single(campaign: Campaign) -> Iterator[tuple[str, str | None]]:
    for section, names in _ONE_VALUE.items():
        for name in names:
            yield f"{section}.{name}", getattr(getattr(campaign, section), name)
    for i, feature in enumerate(campaign.features):
        if OPERATORS[feature.op].reads == "zone":
            yield f"features[{i}].property", feature.property


def _paths(campaign: Campaign) -> Iterator[tuple[str, str]]:
    for i, feature in enumerate(campaign.features):
        if feature.property is not None:
            yield f"features[{i}].property", feature.property
    for i, suppression in enumerate(campaign.suppressions):
        for path in suppression.where:
            yield f"suppressions[{i}].where", path
