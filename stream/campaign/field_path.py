"""Paths into the JSON of an event, taken apart: keys, keys in quotes, elements of arrays, whole lists, record headers, and where these may be."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from stream.campaign.operator_table import OPERATORS
from stream.errors import CampaignError

if TYPE_CHECKING:
    from stream.campaign.file import Campaign


@dataclass(frozen=True, slots=True)
class HeaderName:
    """The only step of a path to a record header; no key of an object is one."""

    name: str


Step: TypeAlias = str | int | HeaderName
Steps: TypeAlias = tuple[Step, ...]
"""From the root on: a key of an object, or an index of an array; or a record header."""

_KEY = re.compile(r'"((?:[^"\\]|\\["\\])*)"|([^."\[\]]+)')
_INDEX = re.compile(r"\[(0|[1-9][0-9]{0,3})\]")
_LIST = "[]"
_HEADER = "header:"
_ESCAPE = re.compile(r"\\(.)")
_CONTAINERS = (
    "batch", "consent_categories", "consent_allowed_ids", "consent_denied_ids", "consent_xdm",
)  # fmt: skip
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
    return not is_header(path) and _LIST in _KEY.sub("", path)


def is_header(path: str) -> bool:
    """Whether a path names a record header: `header:tenant-id`; behind the colon all is its name."""
    return path.startswith(_HEADER)


def header_name(path: str) -> str:
    """The name of the record header that a path names; behind the colon all is the name.

    Raises:
        CampaignError: There is none.
    """
    name = path.removeprefix(_HEADER)
    if not name:
        raise _wrong(path, len(path), "the name of a record header")
    return name


def bodies(paths: Iterable[str]) -> tuple[str, ...]:
    """Those of some paths that lead into the value of a record."""
    return tuple(path for path in paths if not is_header(path))


@functools.cache
def _parsed(path: str) -> tuple[tuple[str, Steps], ...]:
    """Text and steps of each of `list_parts`."""
    if is_header(path):
        return ((path, (HeaderName(header_name(path)),)),)
    parts: list[tuple[str, Steps]] = []
    found: list[Step] = []
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


def around(path: str) -> str:
    """The path of what the value of a path is in, "" for the root."""
    text = ""
    for step in steps(path)[:-1]:
        if isinstance(step, int):
            text += f"[{step}]"
        elif isinstance(step, str):
            text += ("." if text else "") + quoted(step)
    return text


def _wrong(path: str, at: int, expected: str) -> CampaignError:
    return CampaignError(
        "expected a path such as properties.revenue, properties.products[0].sku, "
        f'context.consent."Customer.io" or header:tenant-id, got {path!r}: at character {at + 1} {expected} is expected'
    )


def wrong_path(campaign: Campaign) -> str:
    """Which path leads into a list or to a record header and may not, "" if none does."""
    return _wrong_header(campaign) or _wrong_list(campaign)


def header_paths(campaign: Campaign) -> tuple[str, ...]:
    """The paths of a campaign that name record headers, each once."""
    events = campaign.events
    fields = (
        events.customer_id, events.event_id, events.type, events.timestamp, events.consent, events.sent_at,
        events.consent_opt_out,
        events.consent_strategy, events.previous_id if events.login == "merge" else (),
        *((*purpose.paths, *purpose.opt_out) for purpose in campaign.purposes),
    )  # fmt: skip
    properties = (path for _, path in (*_single(campaign), *_paths(campaign)) if path is not None)
    wanted = (*(path for field in fields for path in field), *properties)
    return tuple(dict.fromkeys(filter(is_header, wanted)))


def _wrong_header(campaign: Campaign) -> str:
    for name in _CONTAINERS:
        value = getattr(campaign.events, name)
        for path in (value,) if isinstance(value, str) else value or ():
            if is_header(path):
                return (
                    f"at events.{name}: expected a path into the value of records, since objects and "
                    f'lists stand there and a record header is text, got "{path}"'
                )
    return ""


def _wrong_list(campaign: Campaign) -> str:
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
