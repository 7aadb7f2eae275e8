"""Records that hold batches of events, whole and damaged: nothing is lost, counted twice or read elsewhere."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from stream.campaign.file import EventMapping
from stream.columns import RecordChunk, Spans
from stream.decisions import dead_letter
from stream.events.decoder import EventDecoder
from stream.events.json_object import json_object
from stream.events.present import Refused, value_of

_NOW_MS = 1_800_000_000_000
_MOST = 40
_DECODER = EventDecoder(
    EventMapping(batch="a.batch", batch_events_max=_MOST),
    ["Order Completed", "Product Viewed"], ["properties.value"], ["properties.category"],
)  # fmt: skip
_KEYS = (b"batch", b"batch", b"b\\u0061tch")
_AROUND = (
    b"", b'"userId":"around",', b'"us\\u0065rId":"x",', b'"specversion":"1.0","data":{"event":"e"},',
    b'"event":"e","context":{"consent":{"marketing":false}},', b'"a":{"batch":[1]},',
)  # fmt: skip
_OTHERS = (
    b"7", b"null", b'"]}"', b"[]", b"{}", b"[" * 70 + b"]" * 70, b'{"a":' * 30 + b"1" + b"}" * 30,
    b'{"event":"\\ud83d"}', b"-0.1e5", b"true",
)  # fmt: skip


def check_batches(rng: random.Random, event: Callable[[random.Random], bytes]) -> None:
    """A chunk of such records.

    Args:
        rng: What chooses.
        event: Makes the bytes of an event, or nearly.
    """
    values = [_record(rng, event) for _ in range(12)]
    n = len(values)
    chunk = RecordChunk(
        "t", 0, np.arange(n), np.full(n, _NOW_MS - 1), Spans.of([None] * n), Spans.of(values), n
    )
    decoded = _DECODER.decode(chunk, _NOW_MS)
    batch = decoded.batch
    found = set(zip(batch.record.tolist(), batch.element.tolist(), strict=True))
    assert len(found) == len(batch)
    refused = {(r.record, -1 if r.element is None else r.element.index) for r in decoded.rejects}
    assert len(refused) == len(decoded.rejects)
    alone = {(int(r), int(e)) for r, e in found if not refused.isdisjoint({(r, e)})}
    assert all(batch.consent_only[k] for k, at in enumerate(_places(batch)) if at in alone)
    for i, value in enumerate(values):
        expected = _lines(value)
        assert {at for at in found | refused if at[0] == i and expected} == {
            (i, element) for element in expected
        }, value
    for reject in decoded.rejects:
        if reject.element is not None:
            at = slice(reject.element.start, reject.element.start + reject.element.size)
            element = b'{"x":%b}' % chunk.value.data[at].tobytes()
            assert json_object(element)["x"] == _element(
                values[reject.record], reject.element.index
            )
    letters = dead_letter.encode(decoded.rejects, chunk)
    kept = sum(len(_lines(letters.value[k] or b"")) for k in range(len(letters)))
    assert kept >= sum(reject.element is not None for reject in decoded.rejects)


def _places(batch: object) -> list[tuple[int, int]]:
    columns = (getattr(batch, name).tolist() for name in ("record", "element"))
    return list(zip(*columns, strict=True))


def _root(value: bytes) -> object:
    try:
        root = json_object(value)
    except Refused:
        return None
    return value_of(root, ("a", "batch"))


def _lines(value: bytes) -> list[int]:
    """The elements of a record that the plain parser takes; none when nothing is known."""
    elements = _root(value)
    there = isinstance(elements, list) and len(elements) <= _MOST
    return list(range(len(elements))) if there and isinstance(elements, list) else []


def _element(value: bytes, index: int) -> object:
    elements = _root(value)
    assert isinstance(elements, list)
    return elements[index]


def _record(rng: random.Random, event: Callable[[random.Random], bytes]) -> bytes:
    elements = [
        rng.choice(_OTHERS) if rng.random() < 0.2 else event(rng)
        for _ in range(rng.choice((0, 1, 2, 5, _MOST, _MOST + 1)))
    ]
    space = rng.choice((b"", b" ", b"\n\t "))
    inner = (space + b"," + space).join(elements)
    array = b'{%b"%b":[%b%b%b]}' % (space, rng.choice(_KEYS), space, inner, space)
    out = bytearray(b'{%b"a":%b}' % (rng.choice(_AROUND), array))
    if rng.random() < 0.3:
        at = rng.randrange(len(out))
        out[at : at + rng.choice((1, 3, len(out)))] = rng.choice(
            (b"", b'"', b"]", b"[", b"}", b"\\")
        )
    return bytes(out)
