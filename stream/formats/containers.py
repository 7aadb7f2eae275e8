"""Arrays, maps and records that are wanted whole, as the JSON that says the same.

What events say of consent may be a list or a map whose keys nobody knows beforehand. Kernels note where
the parts of such a container stand; here they become JSON, so that the readers of consent have one form
for all formats.

Rules of this file
1. The same bytes give the same text, and few differ: what customers may say of consent is little. So a
   text is made once for each.
2. A container that is too large to be looked into is a text that nobody can read, and so forbids.
"""

from __future__ import annotations

import json
from collections import defaultdict
from math import isfinite
from typing import Any, Protocol, TypeAlias

import numba
import numpy as np

from stream.columns import Bools, Bytes, Int64s
from stream.events.paths import WHOLE, Trie
from stream.events.present import JsonNumber
from stream.events.scan import ARRAY, OBJECT, STRING, Kinds

RECORD, NODE, SOURCE, START, STOP = range(5)
"""Columns of the parts: whose, of which node, what kind of thing it is to its format, and its bytes."""
PARTS_MAX = 1024
"""Of one record."""
_BYTES_MAX = 1 << 16
_TEXTS_MAX, _REMEMBERED_BYTES_MAX = 10_000, 1_000
_TOO_LARGE = f"expected at most {PARTS_MAX} parts and {_BYTES_MAX} bytes".encode()
_TOO_MANY = -1

Parts: TypeAlias = tuple[tuple[int, bytes], ...]
"""SOURCE and bytes of each part of one container."""

_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


class ContainerReader(Protocol):
    """Reads containers that a kernel has passed."""

    def read(self, parts: Parts) -> dict[str, Any] | list[Any]:
        """What the parts are together: of str, bool, None, `JsonNumber`, bytes, dict and list."""


@_inlined
def keep_part(
    parts: Int64s, used: int, first: int, i: int, node: int, source: int, start: int, stop: int
) -> int:
    """Notes one part of record i, whose parts begin at `first`; how many there are then."""
    if used - first == PARTS_MAX:
        parts[used - 1, RECORD] = i
        parts[used - 1, SOURCE] = _TOO_MANY
        return used
    parts[used, RECORD] = i
    parts[used, NODE] = node
    parts[used, SOURCE] = source
    parts[used, START] = start
    parts[used, STOP] = stop
    return used + 1


class ContainerTexts:
    """The texts of one schema's containers, each made once.

    Args:
        reader: Reads its containers.
    """

    def __init__(self, reader: ContainerReader) -> None:
        self._reader = reader
        self._texts: dict[Parts, tuple[int, bytes]] = {}

    def write(
        self, data: Bytes, trie: Trie, parts: Int64s, ok: Bools, kind: Kinds, span: Int64s, text_at: int
    ) -> bytes:  # fmt: skip
        """Puts JSON in the place of every container that is wanted whole.

        Args:
            data: The buffer of the parts. Shape (bytes,), uint8.
            trie: The wanted paths.
            parts: By RECORD. Shape (parts, 5), int64.
            ok: Rows to look at. Shape (n,), bool.
            kind: Changed, as `span` is. Shape (n, nodes), uint8.
            span: Where a container has its start, others have the first of their parts. Shape
                (n, nodes, 2), int64.
            text_at: Where the text will stand in the buffer of the spans.

        Returns:
            The text of all of them.
        """
        if not len(parts):
            return b""
        nodes = np.flatnonzero(trie.nodes[:, WHOLE])
        found = kind[:, nodes]
        rows, columns = np.nonzero(((found == OBJECT) | (found == ARRAY)) & ok[:, None])
        of, too_many = _by_container(parts)
        placed: dict[bytes, int] = {}
        out = bytearray()
        for i, node in zip(rows.tolist(), nodes[columns].tolist(), strict=True):
            first = int(span[i, node, 0])
            wanted = tuple(
                (source, data[start:stop].tobytes())
                for k, source, start, stop in of[i, node] if k >= first
            )  # fmt: skip
            what, text = self._text(wanted, int(kind[i, node]), is_known=i not in too_many)
            if text not in placed:
                placed[text] = text_at + len(out)
                out += text
            kind[i, node] = what
            span[i, node] = placed[text], len(text)
        return bytes(out)

    def _text(self, parts: Parts, kind: int, *, is_known: bool) -> tuple[int, bytes]:
        """Kind and text of a container."""
        if not is_known or sum(len(content) for _, content in parts) > _BYTES_MAX:
            return STRING, _TOO_LARGE
        if not parts:
            return kind, b"{}" if kind == OBJECT else b"[]"
        found = self._texts.get(parts)
        if found is None:
            value = self._reader.read(parts)
            what = OBJECT if isinstance(value, dict) else ARRAY
            found = what, json_text(value).encode()
            if len(found[1]) <= _REMEMBERED_BYTES_MAX:
                self._texts = self._texts if len(self._texts) < _TEXTS_MAX else {}
                self._texts[parts] = found
        return found


def _by_container(
    parts: Int64s,
) -> tuple[defaultdict[tuple[int, int], list[tuple[int, int, int, int]]], set[int]]:
    """(index, source, start, stop) of the parts by record and node, and records with too many."""
    found: defaultdict[tuple[int, int], list[tuple[int, int, int, int]]] = defaultdict(list)
    too_many = set()
    for k, (i, node, source, start, stop) in enumerate(parts.tolist()):
        if source == _TOO_MANY:
            too_many.add(i)
        found[i, node].append((k, source, start, stop))
    return found, too_many


def json_text(value: Any) -> str:
    """A value as JSON; bytes that are no text become an empty array, which is no text either."""
    if isinstance(value, dict):
        members = (f"{_quoted(key)}:{json_text(one)}" for key, one in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, list | bytes):
        return "[" + ",".join(map(json_text, () if isinstance(value, bytes) else value)) + "]"
    if isinstance(value, JsonNumber):
        return value.text if isfinite(float(value.text)) else _quoted(value.text)
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
