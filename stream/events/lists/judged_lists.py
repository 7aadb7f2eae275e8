"""The lists of one event, plainly: the slow counterpart of `stream.events.lists.list_columns`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import isinf, isnan, nan
from typing import Any, Protocol, TypeVar

from stream.columns import CategoryColumn
from stream.events.lists.list_kernels import BYTE_MAX
from stream.events.paths import Paths
from stream.events.present import Found, first_present

_Value = TypeVar("_Value")


class Reading(Protocol):
    """Reads values of one property, and counts those that come."""

    def __call__(self, reading: Callable[[Found | None], _Value], found: Found | None) -> _Value:
        """What a reading makes of a value, or of its absence when it cannot be read."""


def list_number(
    found: Found | None, tail: Paths, number: Callable[[Found | None], float], read: Reading
) -> float:
    """The number that a list is: how many elements it has, or the sum of what is known in them.

    Args:
        found: What stands where the list is expected.
        tail: Where the numbers stand in its elements, see `EventPaths.tails`.
        number: The meaning of a number.
        read: Reads what came.

    Returns:
        NaN when there is no list, or none of its elements has a number; 0 for an empty list.
    """
    if found is None or not isinstance(found.value, list):
        read(_no_list, found)
        return nan
    if tail == ("",):
        return read(_length, found)
    total, known = 0.0, not found.value
    for inner in _below(found, tail[0]):
        more = tail[1:]
        value = list_number(inner, more, number, read) if more else read(number, inner)
        if not isnan(value):
            total, known = total + value, True
    if isinf(total):
        return read(_beyond, found)
    return total if known else nan


def list_categories(
    found: Found | None, tail: Paths, category: Callable[[Found | None], int], read: Reading
) -> list[int]:
    """The hashes of all categories of a list, 0 where missing; the arguments as of `list_number`."""
    if found is None or not isinstance(found.value, list):
        read(_no_list, found)
        return []
    hashes: list[int] = []
    for inner in _below(found, tail[0]):
        if tail[1:]:
            hashes += list_categories(inner, tail[1:], category, read)
        else:
            hashes.append(read(category, inner))
    return hashes


def kept(column: CategoryColumn, hashes: Sequence[int]) -> int:
    """What a column keeps of the categories of a list, or of the one zone."""
    known = [one for one in hashes if one]
    if column.keeps == "zone":
        return hashes[0]
    if column.keeps == "chosen":
        return next((one for one in known if one in column.values), 0)
    word = 0
    if column.keeps == "mask":
        for one in known:
            word |= 1 << one % 64
        return word
    for k in range(8):
        count = sum(one % column.buckets == column.first_bucket + k for one in known)
        word |= min(count, BYTE_MAX) << 8 * k
    return word


def _below(found: Found, path: str) -> Iterator[Found | None]:
    """What stands at a path of each element, "" for the element itself."""
    for i, element in enumerate(found.value):
        where = f"{found.path}[{i}]"
        if path:
            inner = first_present(element, (path,))
            yield inner and Found(inner.value, f"{where}.{path}")
        else:
            yield None if element is None or element == "" else Found(element, where)


def _no_list(found: Found | None) -> Any:
    if found is not None:
        raise found.refusal("bad_type", "a list")


def _length(found: Found | None) -> float:
    return nan if found is None else float(len(found.value))


def _beyond(found: Found | None) -> float:
    if found is None:
        return nan
    raise found.refusal("not_finite", "numbers whose sum float64 can hold")
