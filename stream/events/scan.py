"""One pass over the JSON of many records: where the wanted values stand, and what kind they are.

Rules of this file
1. A record passes only if its value is one JSON object, by RFC 8259 and in valid UTF-8.
2. The kernel may give up on a record (any fault, an escaped key, deep nesting) but never guesses:
   what it gives up on, `stream.events.reasons` decides.
3. Of equal keys the last wins, with everything below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numba
import numpy as np
import numpy.typing as npt

from stream.columns import Bools, Bytes, Int64s, Spans
from stream.compiled.borrow import borrow
from stream.events.json_tokens import (
    FALSE_TEXT,
    NULL_TEXT,
    QUOTE,
    TRUE_TEXT,
    after_space,
    literal_end,
    number_end,
    string_end,
    unescape,
)
from stream.events.paths import END, ROOT, UNWANTED, Trie, child, element, has_elements

DEPTH_MAX = 64
"""How many objects and arrays may be open at once."""

MISSING, NULL, STRING, ESCAPED, NUMBER, TRUE, FALSE, OBJECT, ARRAY, FLOAT64, TIME, BYTES = range(12)
"""Kinds of a value. ESCAPED, a string with escapes in it, is gone when `scan` returns.
`stream.formats` finds the last three, never JSON: FLOAT64 has its bits where others have their start,
TIME is a span of digits, epoch milliseconds, and BYTES are no UTF-8.
"""

_IN_ARRAY = (
    -2
)  # where an open object has its node; below it arrays of which elements are looked for
_COMMA, _COLON, _T, _F, _N = b",:tfn"
_OPEN_OBJECT, _CLOSE_OBJECT, _OPEN_ARRAY, _CLOSE_ARRAY = b"{}[]"

Kinds: TypeAlias = npt.NDArray[np.uint8]

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@dataclass(frozen=True, slots=True)
class Scan:
    """The values that a trie asks for, in n records.

    Attributes:
        data: The buffer of the spans.
        ok: False where the kernel gave up or was not to look. Shape (n,), bool.
        kind: MISSING ... BYTES. Shape (n, nodes), uint8.
        span: (start, size) in bytes, without quotes; of a container the start alone. Shape (n, nodes, 2).
        is_json: Whether nothing but JSON stands here; containers that are wanted whole always are.
    """

    data: Bytes
    ok: Bools
    kind: Kinds
    span: Int64s
    is_json: bool = True


def scan(value: Spans, eligible: Bools, trie: Trie) -> Scan:
    """Finds the wanted values in all eligible records.

    Args:
        value: JSON of n records.
        eligible: The records to look at; they are not null. Shape (n,), bool.
        trie: The wanted paths.

    Returns:
        The scan. Its data is the buffer of `value` itself, unless a wanted string has escapes:
        then a copy, followed by these strings in plain UTF-8.
    """
    shape = (len(value), len(trie.nodes))
    ok = eligible.copy()
    kind = np.zeros(shape, np.uint8)
    span = np.empty((*shape, 2), np.int64)
    data = append_bytes(value.data, b"")
    open_nodes = np.empty(2 * DEPTH_MAX, np.int64)
    escaped_bytes = _scan(data, value.start, value.size, trie, open_nodes, ok, kind, span)
    if escaped_bytes:
        plain = np.empty(escaped_bytes, np.uint8)
        used = unescape_all(data, ok, kind, span, plain)
        data = append_bytes(data, plain[:used].data)
    return Scan(data, ok, kind, span)


def append_bytes(data: Bytes, tail: bytes | memoryview) -> Bytes:
    """A copy of a buffer with a tail, or a view of it when there is none; read-only either way.

    numba compiles anew for writable arrays, so that all buffers that kernels read are read-only.
    """
    out = np.concatenate([data, np.frombuffer(tail, np.uint8)]) if tail else data.view()
    out.flags.writeable = False
    return out


@_jit
def _scan(
    data: Bytes, starts: Int64s, sizes: Int64s, trie: Trie, open_nodes: Int64s,
    ok: Bools, kind: Kinds, span: Int64s,
) -> int:  # fmt: skip
    """Fills the rows that are `ok` on entry; returns the length of all strings with escapes.

    `open_nodes` is working space, shape (2 * DEPTH_MAX,), int64: what is open, and of arrays how
    many elements have begun.
    """
    data, kind, span = borrow(data), borrow(kind), borrow(span)
    slots, nodes, keys = borrow(trie.slots), borrow(trie.nodes), borrow(trie.keys)
    open_nodes = borrow(open_nodes)
    for i in range(len(starts)):
        if ok[i]:
            stop = starts[i] + sizes[i]
            ok[i] = _scan_record(
                data, starts[i], stop, slots, nodes, keys, open_nodes, i, kind, span
            )
    if not _has_escapes(kind.reshape(-1)):
        return 0
    escaped_bytes = 0
    for i in range(len(starts)):
        for node in range(len(nodes)):
            if ok[i] and kind[i, node] == ESCAPED:
                escaped_bytes += span[i, node, 1]
    return escaped_bytes


@_jit
def _has_escapes(kind: Kinds) -> bool:
    """Whether any value is ESCAPED, without a branch inside: many at once."""
    found = np.uint8(0)
    for k in range(len(kind)):
        found |= np.uint8(kind[k] == ESCAPED)
    return bool(found)


@_inlined
def _scan_record(
    data: Bytes, at: int, stop: int, slots: Int64s, nodes: Int64s, keys: Bytes,
    open_nodes: Int64s, i: int, kind: Kinds, span: Int64s,
) -> bool:  # fmt: skip
    """Whether data[at:stop] is one JSON object; puts the wanted values into row i."""
    at = after_space(data, at, stop)
    if at == stop or data[at] != _OPEN_OBJECT:
        return False
    node = ROOT
    depth = 0
    while at < stop:  # a value begins here
        if data[at] == _OPEN_OBJECT or data[at] == _OPEN_ARRAY:
            if depth == DEPTH_MAX:
                return False
            is_object = data[at] == _OPEN_OBJECT
            _note(nodes, node, i, OBJECT if is_object else ARRAY, at, 0, kind, span)
            open_nodes[depth] = node if is_object else _array(nodes, node, open_nodes, depth)
            depth += 1
            at = after_space(data, at + 1, stop)
            is_complete = at < stop and data[at] == (_CLOSE_OBJECT if is_object else _CLOSE_ARRAY)
        else:
            at = _scalar(data, at, stop, nodes, node, i, kind, span)
            if at < 0:
                return False
            is_complete = True
        if is_complete:
            at, depth = _next_member(data, at, stop, open_nodes, depth)
            if depth <= 0:
                return depth == 0 and at == stop
        if open_nodes[depth - 1] > _IN_ARRAY:
            at, node = _key(data, at, stop, slots, nodes, keys, open_nodes[depth - 1])
            if at < 0:
                return False
        else:
            node = _element(nodes, open_nodes, depth - 1)
    return False


@_jit
def _array(nodes: Int64s, node: int, open_nodes: Int64s, depth: int) -> int:
    """What stands in `open_nodes` for an array that opens at a node, or at none."""
    open_nodes[DEPTH_MAX + depth] = 0
    return _IN_ARRAY - node if has_elements(nodes, node) else _IN_ARRAY


@_jit
def _element(nodes: Int64s, open_nodes: Int64s, depth: int) -> int:
    """The node of the element that begins in the array open at a depth."""
    if open_nodes[depth] == _IN_ARRAY:
        return UNWANTED
    index = open_nodes[DEPTH_MAX + depth]
    open_nodes[DEPTH_MAX + depth] = index + 1
    return element(nodes, _IN_ARRAY - open_nodes[depth], index)


@_inlined
def _next_member(
    data: Bytes, at: int, stop: int, open_nodes: Int64s, depth: int
) -> tuple[int, int]:
    """Behind a value: closes what ends here and passes the comma.

    Returns:
        Where the next member or the rest of the record begins, and how many containers are open;
        -1 for a fault.
    """
    while depth > 0:
        at = after_space(data, at, stop)
        if at == stop:
            return at, -1
        if data[at] == _COMMA:
            return after_space(data, at + 1, stop), depth
        in_array = open_nodes[depth - 1] <= _IN_ARRAY
        if data[at] != (_CLOSE_ARRAY if in_array else _CLOSE_OBJECT):
            return at, -1
        at += 1
        depth -= 1
    return after_space(data, at, stop), 0


@_inlined
def _key(
    data: Bytes, at: int, stop: int, slots: Int64s, nodes: Int64s, keys: Bytes, parent: int
) -> tuple[int, int]:
    """The key at `at`: (where its value begins, the node of it); position -1 for a fault."""
    if at == stop or data[at] != QUOTE:
        return -1, UNWANTED
    quote, has_escapes = string_end(data, at + 1, stop)
    if quote < 0 or (has_escapes and parent >= 0):
        return -1, UNWANTED
    node = UNWANTED
    if parent >= 0:
        node = child(slots, nodes, keys, parent, data, at + 1, quote - at - 1)
    at = after_space(data, quote + 1, stop)
    if at == stop or data[at] != _COLON:
        return -1, UNWANTED
    return after_space(data, at + 1, stop), node


@_inlined
def _scalar(
    data: Bytes, at: int, stop: int, nodes: Int64s, node: int,
    i: int, kind: Kinds, span: Int64s,
) -> int:  # fmt: skip
    """Notes the string, number or literal at `at`; the position after it, -1 for a fault."""
    byte = data[at]
    if byte == QUOTE:
        end, has_escapes = string_end(data, at + 1, stop)
        what = ESCAPED if has_escapes else STRING
        _note(nodes, node, i, what, at + 1, end - at - 1, kind, span)
        return end + 1 if end >= 0 else -1
    if byte == _T:
        end, what = literal_end(data, at, stop, TRUE_TEXT), TRUE
    elif byte == _F:
        end, what = literal_end(data, at, stop, FALSE_TEXT), FALSE
    elif byte == _N:
        end, what = literal_end(data, at, stop, NULL_TEXT), NULL
    else:
        end, what = number_end(data, at, stop), NUMBER
    _note(nodes, node, i, what, at, end - at, kind, span)
    return end


@_inlined
def _note(
    nodes: Int64s, node: int, i: int, what: int, at: int, length: int,
    kind: Kinds, span: Int64s,
) -> None:  # fmt: skip
    """Keeps a value if it is wanted, and forgets an earlier one of the same key."""
    if node < 0:
        return
    if kind[i, node] != MISSING:
        for below in range(node, nodes[node, END]):
            kind[i, below] = MISSING
    kind[i, node] = what
    span[i, node, 0] = at
    span[i, node, 1] = length


@_jit
def unescape_all(data: Bytes, ok: Bools, kind: Kinds, span: Int64s, out: Bytes) -> int:
    """Turns ESCAPED into STRING: the text goes to `out`, which will follow `data`."""
    used = 0
    for i in range(kind.shape[0]):
        for node in range(kind.shape[1]):
            if ok[i] and kind[i, node] == ESCAPED:
                begin = span[i, node, 0]
                end = unescape(data, begin, begin + span[i, node, 1], out, used)
                kind[i, node] = STRING
                span[i, node, 0] = len(data) + used
                span[i, node, 1] = end - used
                used = end
    return used
