"""A record that a kernel has read, as the object that the judge takes."""

from __future__ import annotations

from typing import Any

from stream.events.paths import KEY_SIZE, KEY_START, PARENT, ROOT, Trie
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
    objects: dict[int, dict[str, Any]] = {ROOT: {}}
    for node, row in enumerate(trie.nodes.tolist()):
        parent = row[PARENT]
        if node == ROOT or parent not in objects or kinds[node] == MISSING:
            continue
        start = row[KEY_START]
        key = trie.keys[start : start + row[KEY_SIZE]].tobytes().decode()
        if kinds[node] == OBJECT:
            objects[node] = UnreadMembers()
        value = objects[node] if kinds[node] == OBJECT else _value(found, i, node, kinds[node])
        objects[parent][key] = value
    return objects[ROOT]


def _value(found: Scan, i: int, node: int, kind: int) -> Any:
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind == ARRAY:
        return UnreadItems()
    if kind == FLOAT64:
        bits = found.span[i, node, :1].view("float64")
        return JsonNumber(repr(float(bits[0])))
    start, size = found.span[i, node].tolist()
    content = found.data[start : start + size].tobytes()
    if kind == BYTES:
        return content
    text = content.decode()
    if kind == NUMBER:
        return JsonNumber(text)
    return EpochMs(text) if kind == TIME else text
