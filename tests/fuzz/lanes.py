"""One input of each lane, from a seed: what is done with it, and what may come of it.

Rules of this file
1. Only `CorruptRecords`, `StateError` and rejects may come of bytes. Whatever else is raised, and any
   signal, is a finding.
2. What is sound by the slow reader of `tests.fuzz.oracle` has to be read, and to the same records.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from stream.campaign.file import EventMapping
from stream.columns import RecordChunk, Spans
from stream.errors import StateError
from stream.events.decoder import EventDecoder
from stream.kafka import record_kernels
from stream.kafka.batch_checks import CorruptRecords
from stream.kafka.headers import last_contents, read_headers
from stream.kafka.records import AbortedTransaction, RecordReader
from stream.kafka.skip_list import ReadRules
from stream.state import changelog
from stream.state.marker import MARKER_KEY, Progress
from stream.state.table import CustomerTable
from tests.fuzz import oracle
from tests.fuzz.batched_events import check_batches
from tests.fuzz.batches import number, response
from tests.fuzz.framed_avro import check_avro
from tests.fuzz.framed_check import Compared
from tests.fuzz.framed_protobuf import check_protobuf
from tests.fuzz.headers import check_headers
from tests.fuzz.snowplow import check_snowplow

_WORDS = 5
_NOW_MS = 1_800_000_000_000
MAPPING = EventMapping()
DECLARED = (
    ("Order Completed", "Product Viewed"), ("properties.value", "properties.n.m"),
    ("properties.category",),
)  # fmt: skip
DECODER = EventDecoder(MAPPING, *DECLARED)
_SEEDS = (
    (
        b'{"type":"track","event":"Order Completed","userId":"c1","messageId":"m",'
        b'"timestamp":"2026-01-01T00:00:00.123Z","properties":{"value":12.5e3,"category":"sh\\u00f6es"}}'
    ),
    b'{"type":"identify","anonymousId":7,"traits":{"marketing_consent":true},"sentAt":1700000000000}',
    (
        b'{"specversion":"1.0","id":"a","subject":"b","time":"2026-01-01T01:02:03+01:00","type":"x",'
        b'"data":{"event":"Product Viewed","properties":{"n":{"m":-0.1},"category":[1,{"a":null}]}}}'
    ),
    '{"userId":"jos\u00e9 \U0001f600 \\ud83d\\ude00","timestamp":1e3,"event":"\\"\\\\\\/\\n"}'.encode(),
)
_TOKENS = (b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\\u", b"\xff", b"\xed\xa0\x80", b"-", b"0",
           b"1e", b".", b"true", b"nul", b" ", b"\x00", b"9" * 25)  # fmt: skip


def records(rng: random.Random) -> None:
    """A fetch response: read like the oracle, and its headers searched."""
    data = response(rng)
    position = rng.choice((0, 0, 3, 41, 2**40 + 7))
    chunks, is_broken = _read_all(data, position, rng.choice((1, 7, 1_000)))
    found = [row for chunk in chunks for row in _rows_of(chunk)]
    expected, expected_broken = oracle.read(data, position)
    assert is_broken == expected_broken, f"broken by the oracle: {expected_broken}"
    assert found == expected, "other records than the oracle reads"
    for chunk in chunks:
        _search_headers(rng, chunk)


def _read_all(data: bytes, position: int, step: int) -> tuple[list[RecordChunk], bool]:
    """The chunks of a response, and whether a broken batch ends them.

    What does not fit beside the rest is left to the next fetch, which is here the same bytes.
    """
    chunks: list[RecordChunk] = []
    while True:
        reader = RecordReader("t", 0, data, position, step)
        try:
            for chunk in reader:
                chunks.append(chunk)  # noqa: PERF402  # those before an error count
        except CorruptRecords as exc:
            assert 0 <= exc.first <= exc.last, "a refusal names offsets"  # noqa: PT017  # no test
            return chunks, True
        assert reader.next_offset >= position, "a reader never goes back"
        if reader.next_offset == position:
            return chunks, False
        position = reader.next_offset


def _rows_of(chunk: RecordChunk) -> list[oracle.Row]:
    times = zip(chunk.offset.tolist(), chunk.timestamp_ms.tolist(), strict=True)
    return [(*row, chunk.key[i], chunk.value[i]) for i, row in enumerate(times)]


def _search_headers(rng: random.Random, chunk: RecordChunk) -> None:
    value, name = chunk.value, np.frombuffer(rng.choice((b"hh", b"h", b"")), np.uint8)
    out = np.empty((2, len(chunk)), np.int64)
    bad = record_kernels.find_header(value.data, value.start, value.size, name, out)
    assert bad == -1, "records that were read have headers that can be"
    own = None if chunk.headers is None else last_contents(chunk.headers, name.tobytes())
    for i in range(len(chunk)):
        raw = b"" if chunk.headers is None else chunk.headers[i] or b""
        said = [content for one, content in read_headers(raw) if one == name.tobytes().decode()]
        assert (None if own is None else own[i]) == (said[-1] if said else None)
        assert (out[1, i] >= 0) == any(content is not None for content in said)
    cut = value.data[: rng.randrange(len(value.data) + 1)]
    start = np.minimum(value.start, len(cut))
    size = np.minimum(value.size, len(cut) - start)
    if record_kernels.find_header(cut, start, size, name, out) < 0:
        assert (out[0] + np.maximum(out[1], 0) <= len(cut)).all()


def skips(rng: random.Random) -> None:
    """A fetch response read with a skip list: no record of it is shown, and the reader gets on."""
    data = response(rng)
    first = rng.choice((0, 3, 40, 2**40))
    until = first + rng.choice((1, 5, 40, 2**50))
    rules = ReadRules(1 << 20, {("t", 0): ((first, until),)})
    aborted = [AbortedTransaction(7, 0)] if rng.random() < 0.3 else None
    told: list[int] = []
    reader = RecordReader(
        "t", 0, data, 0, 100, aborted, rules, lambda skipped: told.append(skipped.records)
    )
    try:
        for chunk in reader:
            assert not ((chunk.offset >= first) & (chunk.offset < until)).any()
    except CorruptRecords as exc:
        begins = max(exc.first, reader.next_offset)
        assert not first <= begins <= exc.last < until, str(exc)  # noqa: PT017  # no test
    assert all(records >= 0 for records in told)


def rows(rng: random.Random) -> None:
    """A changelog chunk."""
    keys, values = list[bytes | None](), list[bytes | None]()
    for _ in range(rng.randrange(1, 30)):
        keys.append(rng.choice((MARKER_KEY, b"", None, b"k", rng.randbytes(5))))
        if rng.random() < 0.8:
            keys[-1] = rng.randbytes(rng.randrange(1, 4))
        size = 1 + 8 * _WORDS if rng.random() < 0.97 else rng.randrange(60)
        value = bytes([1 if rng.random() < 0.97 else rng.randrange(256)]) + rng.randbytes(size)
        values.append(None if rng.random() < 0.1 else value[:size])
        if keys[-1] == MARKER_KEY:
            values[-1] = _marker(rng)
    chunk = RecordChunk(
        "log", 0, np.arange(len(keys)), np.zeros(len(keys), np.int64), Spans.of(keys),
        Spans.of(values), len(keys),
    )  # fmt: skip
    table = CustomerTable(_WORDS)
    with suppress(StateError):
        changelog.apply_chunk(chunk, table, slice(2, 4), Progress())


def _marker(rng: random.Random) -> bytes:
    marker: dict[str, object] = {
        "version": rng.choice((1, 1, 2)),
        "covered": {"a": abs(number(rng))},
        "order": [],
    }
    data = bytearray(json.dumps(marker).encode())
    if rng.random() < 0.5:
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def events(rng: random.Random) -> None:
    """Event values: each is an event or a reject, and what is no JSON object is a reject."""
    values = [event(rng) for _ in range(20)]
    times = np.array([_int64(number(rng)) for _ in values], np.int64)
    chunk = RecordChunk(
        "t", 0, np.arange(len(values)), times, Spans.of([None] * len(values)), Spans.of(values),
        len(values),
    )  # fmt: skip
    decoded = DECODER.decode(chunk, _NOW_MS)
    batch, rejects = decoded.batch, decoded.rejects
    rejected = {reject.record for reject in rejects}
    assert rejected | set(batch.record.tolist()) == set(range(len(values)))
    assert len(rejected) + len(batch) == len(values)
    for spans in (batch.customer, batch.event_id):
        assert (spans.start[spans.size > 0] >= 0).all()
        assert (spans.start + np.maximum(spans.size, 0) <= len(spans.data))[spans.size > 0].all()
    for i, value in enumerate(values):
        assert i in rejected or _is_object(value), value


def _int64(value: int) -> int:
    return min(max(value, -(2**63)), 2**63 - 1)


def _is_object(value: bytes) -> bool:
    try:
        return isinstance(json.loads(value.decode()), dict)
    except (ValueError, RecursionError):
        return False


def event(rng: random.Random) -> bytes:
    """A value that may have been an event."""
    out = bytearray(rng.choice(_SEEDS))
    for _ in range(rng.choice((0, 0, 1, 2, 6))):
        at = rng.randrange(len(out) + 1)
        how = rng.randrange(4)
        if how == 0:
            out[at : at + 1] = bytes([rng.randrange(256)])
        elif how == 1:
            del out[at : at + rng.randrange(1, 9)]
        elif how == 2:
            out[at:at] = rng.choice(_TOKENS)
        else:
            out = out[:at]
    return bytes(out)


def avro(rng: random.Random) -> Compared:
    """Values of two schemas: read as fastavro reads them."""
    return check_avro(rng)


def protobuf(rng: random.Random) -> Compared:
    """Values of a message: read as Protobuf's own library reads them."""
    return check_protobuf(rng)


def batches(rng: random.Random) -> None:
    """Records that hold batches of events."""
    check_batches(rng, event)


def headers(rng: random.Random) -> None:
    """Records with headers: the kernels find what a plain reading finds."""
    check_headers(rng)


def snowplow(rng: random.Random) -> None:
    """Enriched events: read as their columns are read plainly."""
    check_snowplow(rng)


LANES: dict[str, Callable[[random.Random], Compared | None]] = {
    "records": records, "skips": skips, "rows": rows, "events": events, "batches": batches, "avro": avro,
    "protobuf": protobuf, "snowplow": snowplow, "headers": headers,
}  # fmt: skip
