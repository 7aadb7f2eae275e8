"""A record that a kernel has read, as the object that the judge takes."""

from __future__ import annotations

from typing import Any

from stream.events.json_object import json_value
from stream.events.paths import KEY_SIZE, KEY_START, PARENT, ROOT, WHOLE, Trie
from stream.events.present import EpochMs, JsonNumber, Refused, UnreadItems, UnreadMembers
from stream.events.scan import (
    ARRAY,
    BYTES,
    FALSE,
    FLOAT64,
    MISSING,
    NULL,
    NUMBER,
    OBJECT,
    TIME,
    TRUE,
    Scan,
)

_PLAIN: dict[int, Any] = {NULL: None, TRUE: True, FALSE: False}


def object_of_row(found: Scan, trie: Trie, i: int) -> dict[str, Any]:
    """What row i of a scan says, as far as it was wanted.

    The text of a float64 is the shortest that reads as the same number: 12.0, 0.1.

    Raises:
        Refused: The value is no object.
    """
    kinds = found.kind[i].tolist()
    if kinds[ROOT] != OBJECT:
        raise Refused("not_object", "expected a record or a message as the value, got another type")
    root: dict[str, Any] = {}
    containers: dict[int, dict[str, Any] | list[Any]] = {ROOT: root}
    for node, row in enumerate(trie.nodes.tolist()):
        parent = row[PARENT]
        if node == ROOT or parent not in containers or kinds[node] == MISSING:
            continue
        value = _value(found, i, node, kinds[node], is_whole=bool(row[WHOLE]))
        if isinstance(value, dict | list):
            containers[node] = value
        _put(containers[parent], trie, row, value)
    return root


def _put(container: dict[str, Any] | list[Any], trie: Trie, row: list[int], value: Any) -> None:
    """Puts a value at its key or index; elements that nobody asked for are null."""
    start, size = row[KEY_START], row[KEY_SIZE]
    if isinstance(container, dict):
        container[trie.keys[start : start + size].tobytes().decode()] = value
    else:
        container += [None] * (start + 1 - len(container))
        container[start] = value


def _value(found: Scan, i: int, node: int, kind: int, *, is_whole: bool) -> Any:  # noqa: PLR0911  # one for each kind
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind in (OBJECT, ARRAY) and not is_whole:
        return UnreadMembers() if kind == OBJECT else UnreadItems()
    if kind == FLOAT64:
        bits = found.span[i, node, :1].view("float64")
        return JsonNumber(repr(float(bits[0])))
    start, size = found.span[i, node].tolist()
    content = found.data[start : start + size].tobytes()
    if kind in (OBJECT, ARRAY):
        return json_value(content)
    if kind == BYTES:
        return content
    text = content.decode()
    if kind == NUMBER:
        return JsonNumber(text)
    return EpochMs(text) if kind == TIME else text
