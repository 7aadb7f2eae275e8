"""Where things stand in events: every path that was seen, and what stood at the declared ones."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from stream.campaign.field_path import list_parts, quoted, steps
from stream.events.present import Root, value_of
from stream.visible import visible
from trainer.doctor.roots import at, body_of

_DEPTH_MAX = 6
_PATHS_MAX = 5_000
_EXAMPLE_CHARS_MAX = 40
_EXAMPLES = 3
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_EPOCH_S, _EPOCH_MS, _EPOCH_US = 1e8, 1e11, 1e14


class PathCount(Struct, frozen=True, kw_only=True):
    """What stood at one declared path.

    Attributes:
        path: As the campaign file names it.
        wanted: What it is for: "number", "category", "customer id", "time" and so on.
        seen: Values that were present and not null: one of an event, of a list one of each element.
        kinds: What stood there, by kind, such as "number" or "text with a currency".
        unreadable: Those of them that cannot be read as what is wanted.
        examples: Some of the unreadable, or of all when none is: as they are, or their shape.
        close: Names really seen that are most alike, when it never came.
    """

    path: str
    wanted: str
    seen: int
    kinds: dict[str, int]
    unreadable: int
    examples: tuple[str, ...] = ()
    close: tuple[str, ...] = ()


def _below(value: Any, path: str) -> Any:
    found = value_of(value, steps(path))
    return None if found == "" else found


def _values(root: Root, path: str, wanted: str) -> Iterator[tuple[Any, bool]]:
    """What stands at a path, in each element of a list, and whether it can be read."""
    head, *tail = list_parts(path)
    found = at(root, head)
    if found is not None:
        yield from _in_list(found, tail, wanted) if tail else [(found, readable(found, wanted))]


def _in_list(found: Any, tail: Sequence[str], wanted: str) -> Iterator[tuple[Any, bool]]:
    counts = tail == [""] and wanted == "number"  # the number is how many elements there are
    if not isinstance(found, list) or counts:
        yield found, isinstance(found, list)
        return
    for element in found:
        value = _below(element, tail[0]) if tail[0] else None if element == "" else element
        if value is not None and len(tail) > 1:
            yield from _in_list(value, tail[1:], wanted)
        elif value is not None:
            yield value, readable(value, wanted)


def paths_of(events: Sequence[Root]) -> Counter[str]:
    """Every path that was seen, with the number of events that have it; bounded."""
    found: Counter[str] = Counter()
    for event in events:
        for path in dict.fromkeys(_walk(body_of(event), "", _DEPTH_MAX)):
            if path in found or len(found) < _PATHS_MAX:
                found[path] += 1
    return found


def _walk(value: Mapping[str, Any], prefix: str, depth: int) -> Iterator[str]:
    for key, inner in value.items():
        path = f"{prefix}{quoted(key)}"
        yield path
        if isinstance(inner, list):
            path += "[]"
            yield path
        for one in inner if isinstance(inner, list) else [inner]:
            if isinstance(one, dict) and depth > 1:
                yield from _walk(one, f"{path}.", depth - 1)


def count_path(
    path: str,
    wanted: str,
    events: Sequence[Root],
    seen_paths: Mapping[str, int],
    *,
    personal: bool,
) -> PathCount:
    """What stood at a path.

    Args:
        path: The path.
        wanted: What it is for, see `PathCount`.
        events: Parsed records.
        seen_paths: See `paths_of`.
        personal: Whether values are told by their shape only.
    """
    found = [one for event in events for one in _values(event, path, wanted)]
    values = [value for value, _ in found]
    kinds = Counter(kind_of(value) for value in values)
    bad = [value for value, is_readable in found if not is_readable]
    told = dict.fromkeys(_told(value, personal=personal) for value in (bad or values)[:200])
    return PathCount(
        path=path, wanted=wanted, seen=len(values), kinds=dict(kinds.most_common()),
        unreadable=len(bad), examples=tuple(told)[:_EXAMPLES],
        close=() if values else closest(path, seen_paths),
    )  # fmt: skip


def closest(name: str, seen: Mapping[str, int]) -> tuple[str, ...]:
    """Names really seen that are most like one that never came, the data of CloudEvents without `data`."""
    bare = {path.removeprefix("data."): None for path in seen}
    return tuple(difflib.get_close_matches(name, bare, n=3, cutoff=0.75))


def kind_of(value: Any) -> str:
    """What a JSON value is, as a person would say it."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, dict | list):
        return "object" if isinstance(value, dict) else "list"
    text = str(value).strip()
    if _NUMBER.fullmatch(text):
        return "number as text"
    digits = sum(c.isdigit() for c in text)
    if digits and digits >= len(text) / 2 and re.search(r"[.,$€£¥%\s]", text):
        return "text with a currency or grouped digits"
    return "text"


def epoch_kind(value: Any) -> str:
    """In which unit a time counts since 1970, or how it is written."""
    kind = kind_of(value)
    if kind not in ("number", "number as text"):
        return kind
    size = abs(float(value))
    units = (
        (_EPOCH_S, "a number too small for a time"),
        (_EPOCH_MS, "epoch seconds"),
        (_EPOCH_US, "epoch milliseconds"),
    )
    return next((unit for limit, unit in units if size < limit), "epoch micro- or nanoseconds")


def readable(value: Any, wanted: str) -> bool:
    """Whether a value can be what is wanted at its path."""
    kind = kind_of(value)
    if wanted == "number":
        return kind in ("number", "number as text", "true or false")
    if wanted == "event type":
        return isinstance(value, str)
    return kind not in ("object", "list")


def _told(value: Any, *, personal: bool) -> str:
    if isinstance(value, dict | list):
        return f"{kind_of(value)} of {len(value)}"
    if personal:
        return f"{'string' if isinstance(value, str) else kind_of(value)} of {len(str(value))}"
    text = visible(value)
    return text if len(text) <= _EXAMPLE_CHARS_MAX else f"{text[:_EXAMPLE_CHARS_MAX]}..."
