"""Record headers made from a seed: what is read of them plainly and by the kernels is the same."""

from __future__ import annotations

import base64
import random

import numpy as np

from stream.campaign.file import EventMapping
from stream.columns import RecordChunk, Spans
from stream.events.decoder import EventDecoder
from stream.events.present import Refused
from stream.events.times.judged_times import Times
from stream.formats.framing import HEADER, find_frames, schema_key
from stream.kafka.headers import Header, last_contents, read_headers, write_headers
from tests.fuzz.batches import number, varint

_NOW_MS = 1_800_000_000_000
_EARLIEST_MS, _AHEAD_MAX_MS = 946_684_800_000, 300_000
_DECODER = EventDecoder(
    EventMapping(), ["order"], ["properties.value", "data.n"], ["tenant", "data"]
)
_NAMES = (
    "ce_specversion", "ce_specversion", "ce_type", "ce_subject", "ce_id", "ce_time", "ce_tenant",
    "ce_data", "ce_data_base64", "ce_", "ce", "", "content-type", HEADER, "\udcff",
)  # fmt: skip
_CONTENTS = (
    None, b"", b"1.0", b"order", b"u-1", b"\xff", b"\xe2\x82", b"2026-01-01T00:00:00Z", b"null",
    b"application/CloudEvents+json", b"application/json", b"\0\0\0\0\7", b"\x01" + bytes(range(16)),
)  # fmt: skip
_DATA = (b'{"userId":"u","properties":{"value":1}}', b"{}", b"[]", b'{"data":{"n":2}}', b"", b'{"a')


def check_headers(rng: random.Random) -> None:
    """Records with headers: searched, framed and decoded."""
    values = [_value(rng) for _ in range(12)]
    raw = [_raw(rng) for _ in values]
    pieces = Spans.of([*values, *raw])  # in one buffer, as from Kafka; or in two
    value, headers = pieces.take(slice(0, len(values))), pieces.take(slice(len(values), None))
    if rng.random() < 0.5:
        headers = Spans.of(raw)
    _check_search(headers, rng.choice(_NAMES))
    _check_frames(value, headers, indexed=rng.random() < 0.5)
    _check_events(value, headers)


def _raw(rng: random.Random) -> bytes:
    headers: list[Header] = [
        (rng.choice(_NAMES), rng.choice(_CONTENTS)) for _ in range(rng.randrange(6))
    ]
    if rng.random() < 0.5:
        headers += [("ce_specversion", b"1.0"), ("ce_type", b"order"), ("ce_subject", b"s")]
    out = bytearray(write_headers(headers))
    for _ in range(rng.choice((0, 0, 0, 1, 3))):
        at = rng.randrange(len(out) + 1)
        if rng.random() < 0.5:
            out[at : at + rng.randrange(3)] = varint(number(rng))
        else:
            out[at : at + 1] = rng.randbytes(rng.randrange(2))
    return bytes(out)


def _value(rng: random.Random) -> bytes | None:
    data = rng.choice(_DATA)
    how = rng.randrange(4)
    if how == 0:
        encoded = bytearray(base64.b64encode(data))
        for _ in range(rng.choice((0, 0, 1, 2))):
            at = rng.randrange(len(encoded) + 1)
            encoded[at : at + 1] = rng.choice((b"=", b"", b"A", b"-", b"\\/", b"\\n"))
        return b'{"specversion":"1.0","type":"order","data_base64":"%s"}' % bytes(encoded)
    if how == 1:
        return b'{"specversion":"1.0","type":"order","data":%s}' % data
    return None if rng.random() < 0.05 else data


def _check_search(headers: Spans, name: str) -> None:
    found = last_contents(headers, name.encode("utf-8", "surrogateescape"))
    for i in range(len(headers)):
        said = [content for one, content in read_headers(headers[i]) if one == name]
        assert found[i] == (said[-1] if said else None), headers[i]


def _check_frames(value: Spans, headers: Spans, *, indexed: bool) -> None:
    frames = find_frames(value, value.size >= 0, indexed=indexed, headers=headers)
    for i in np.flatnonzero(frames.group >= 0).tolist():
        frame = frames.frames[int(frames.group[i])]
        said = dict(read_headers(headers[i])).get(HEADER)
        assert ((value[i] if said is None else said) or b"").startswith(frame)
        assert isinstance(schema_key(frame), int | str)


def _check_events(value: Spans, headers: Spans) -> None:
    n = len(value)
    none = Spans.of([None] * n)
    times_ms = np.full(n, _NOW_MS)
    chunk = RecordChunk("t", 0, np.arange(n), times_ms, none, value, n, headers=headers)
    decoded = _DECODER.decode(chunk, _NOW_MS)
    batch = decoded.batch
    codes = {reject.record: reject.code for reject in decoded.rejects}
    customers = dict(
        zip(batch.record.tolist(), map(batch.customer.__getitem__, range(n)), strict=False)
    )
    assert codes.keys() | customers.keys() == set(range(n))
    eligible = value.size >= 0
    values = _DECODER._format.read(value, eligible, _DECODER._reader.trie, headers)
    times = Times(_NOW_MS, _NOW_MS, _EARLIEST_MS, _AHEAD_MAX_MS)
    for i in np.flatnonzero(eligible).tolist():
        try:
            judged = _DECODER._judge.judge_root(values.root(i, value[i] or b""), times)
            assert customers.get(i) == judged.event.customer, (value[i], headers[i])
        except Refused as exc:
            assert codes.get(i) == exc.code, (value[i], headers[i])  # noqa: PT017  # no test
