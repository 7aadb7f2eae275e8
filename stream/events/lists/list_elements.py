"""The elements of the lists that a scan found, scanned as records of their own.

Lists inside of elements are opened in the same way, as deep as paths lead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stream.columns import Bools, Bytes, Int64s, Spans
from stream.events.lists.list_kernels import find_elements
from stream.events.paths import Paths, compile_trie
from stream.events.scan import (
    ESCAPED,
    MISSING,
    NULL,
    OBJECT,
    STRING,
    Kinds,
    append_bytes,
    scan,
    unescape_all,
)

_ROOM_PER_LIST = 4


@dataclass(frozen=True, slots=True)
class Place:
    """What stands at one place of m parents.

    Attributes:
        data: The buffer of the spans.
        kind: MISSING also for null and the empty string. Shape (m,), uint8.
        start: Shape (m,), int64.
        size: Shape (m,), int64.
        record: The record of each. Shape (m,), int64.
    """

    data: Bytes
    kind: Kinds
    start: Int64s
    size: Int64s
    record: Int64s


class ListPaths:
    """What is looked for in the elements of the lists at one place.

    Args:
        tails: Of each property the paths behind the list, see `EventPaths.tails`.

    Attributes:
        properties: These properties.
        leaves: Of each property that is in these elements the path in them, "" for the elements.
        inner: Lists in the elements, by their path in them.
    """

    def __init__(self, tails: Mapping[int, Paths]) -> None:
        self.properties = frozenset(tails)
        self.leaves = {k: tail[0] for k, tail in tails.items() if len(tail) == 1}
        lists = dict.fromkeys(tail[0] for tail in tails.values() if len(tail) > 1)
        self.inner = {
            path: ListPaths({k: t[1:] for k, t in tails.items() if len(t) > 1 and t[0] == path})
            for path in lists
        }
        self.trie, self.node_of = compile_trie({*self.leaves.values(), *lists} - {""})


@dataclass(frozen=True, slots=True)
class Opened:
    """The lists at one place.

    Attributes:
        at: What stands there.
        paths: What is looked for.
        first: Of the elements; see `stream.events.lists.list_kernels`.
        elements: The elements, at the path "", and what stands in them, at each other path.
        inner: The lists in them.
    """

    at: Place
    paths: ListPaths
    first: Int64s
    elements: dict[str, Place]
    inner: dict[str, Opened]

    def inner_of(self, k: int) -> Opened:
        """The lists in the elements that property k leads into."""
        return next(one for one in self.inner.values() if k in one.paths.properties)


def open_lists(at: Place, paths: ListPaths, ok: Bools) -> Opened:
    """The elements of the lists at a place; `ok` becomes false where they are not clear."""
    first, kind, span = _elements(at, ok)
    record = np.repeat(at.record, np.diff(first))
    elements = {}
    if paths.node_of:
        is_object = kind == OBJECT
        found = scan(Spans(at.data, span[:, 0].copy(), span[:, 1].copy()), is_object, paths.trie)
        ok[record[is_object & ~found.ok]] = False
        for path, node in paths.node_of.items():
            elements[path] = _place(found.data, found.kind[:, node], found.span[:, node], record)
    elements[""] = _place(_unescaped(at.data, kind, span), kind, span, record)
    inner = {path: open_lists(elements[path], of, ok) for path, of in paths.inner.items()}
    return Opened(at, paths, first, elements, inner)


def _elements(at: Place, ok: Bools) -> tuple[Int64s, Kinds, Int64s]:
    """`first`, and kind and span of each element."""
    live = ok[at.record]
    first = np.empty(len(live) + 1, np.int64)
    room = _ROOM_PER_LIST * len(live)
    while True:
        kind, span = np.empty(room, np.uint8), np.empty((room, 2), np.int64)
        used = find_elements(at.data, at.kind, at.start, live, first, kind, span)
        if used <= room:
            return first, kind[:used], span[:used]
        room = used


def _unescaped(data: Bytes, kind: Kinds, span: Int64s) -> Bytes:
    """The buffer with the plain text of ESCAPED elements behind it, which become STRING."""
    escaped = kind == ESCAPED
    if not escaped.any():
        return data
    plain = np.empty(int(span[escaped, 1].sum()), np.uint8)
    columns = kind.reshape(-1, 1), span.reshape(-1, 1, 2)
    used = unescape_all(data, np.ones(len(kind), np.bool_), *columns, plain)
    return append_bytes(data, plain[:used].data)


def _place(data: Bytes, kind: Kinds, span: Int64s, record: Int64s) -> Place:
    """What stands somewhere, contiguous as kernels are compiled for; null and "" are missing."""
    absent = (kind <= NULL) | ((kind == STRING) & (span[:, 1] == 0))
    return Place(
        data,
        np.where(absent, np.uint8(MISSING), kind),
        span[:, 0].copy(),
        span[:, 1].copy(),
        record,
    )
