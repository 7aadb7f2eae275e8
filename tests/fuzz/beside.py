"""Good events among broken ones, in every format: `python -m tests.fuzz.beside --records 10000000`.

Whatever stands beside a good event, it comes to the same columns as alone, and each broken value to an
event or a reject. This takes many more values than a lane with an oracle can: they are not read twice.
"""

from __future__ import annotations

import argparse
import base64
import faulthandler
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import fastavro
import numpy as np

from stream.columns import EventBatch, RecordChunk, Spans
from stream.events.cloudevents.envelopes import ValueFormat
from stream.events.decoder import EventDecoder
from stream.formats.avro.avro_language import AVRO
from stream.formats.framed_json import FramedJson
from stream.formats.port import WriterSchema
from stream.formats.protobuf.protobuf_language import PROTOBUF
from stream.formats.reading import FramedFormat
from tests.fuzz import lanes, snowplow
from tests.fuzz.framed import (
    CATEGORIES,
    MAPPING,
    NUMBERS,
    TYPES,
    avro_bytes,
    avro_schema,
    avro_value,
    mutated,
)
from tests.fuzz.framed_check import NOW_MS, Schemas
from tests.fuzz.protobuf_messages import class_of, file_of, fill

_GOOD = 64
_HANG_S = 600


@dataclass(frozen=True, slots=True)
class Source:
    """Values of one format, and what reads them.

    Attributes:
        decoder: Reads them.
        value: Makes one, most often sound.
    """

    decoder: EventDecoder
    value: Callable[[random.Random], bytes]


def _framed(form: ValueFormat) -> EventDecoder:
    return EventDecoder(MAPPING, TYPES, NUMBERS, CATEGORIES, value_format=form)


def _json(_: random.Random) -> Source:
    return Source(lanes.DECODER, lanes.event)


def _framed_json(_: random.Random) -> Source:
    mapping = lanes.MAPPING
    decoder = EventDecoder(mapping, *lanes.DECLARED, value_format=FramedJson())
    return Source(decoder, lambda rng: b"\0\0\0\0\7" + lanes.event(rng))


def _avro(rng: random.Random) -> Source:
    text = avro_schema(rng)
    schema = fastavro.parse_schema(json.loads(json.dumps(text)))
    form = FramedFormat(AVRO, Schemas([WriterSchema("AVRO", json.dumps(text))]))
    return Source(
        _framed(form), lambda rng: b"\0\0\0\0\1" + avro_bytes(schema, avro_value(rng, text))
    )


def _protobuf(rng: random.Random) -> Source:
    file = file_of(rng, rng.choice(("proto2", "proto3")))
    kind = class_of(file, "shop.E")
    writer = WriterSchema("PROTOBUF", base64.b64encode(file.SerializeToString()).decode())

    def value(rng: random.Random) -> bytes:
        message = kind()
        fill(rng, message)
        content: bytes = message.SerializeToString()
        return b"\0\0\0\0\1\2\2" + content

    return Source(_framed(FramedFormat(PROTOBUF, Schemas([writer]))), value)


def _snowplow(_: random.Random) -> Source:
    return Source(snowplow.DECODER, snowplow.enriched)


FORMS: dict[str, Callable[[random.Random], Source]] = {
    "json": _json, "framed_json": _framed_json, "avro": _avro, "protobuf": _protobuf,
    "snowplow": _snowplow,
}  # fmt: skip


def check_beside(rng: random.Random, form: str, chunks: int = 2, broken: int = 200) -> int:
    """Some chunks of one source; how many broken values were read."""
    source = FORMS[form](rng)
    pool = [source.value(rng) for _ in range(_GOOD)]
    alone = source.decoder.decode(_chunk(pool), NOW_MS)
    good = [pool[k] for k in alone.batch.record[~alone.batch.consent_only].tolist()]
    expected = [_row(alone.batch, k) for k in np.flatnonzero(~alone.batch.consent_only).tolist()]
    for _ in range(chunks):
        values, places = _among(rng, pool, good, broken)
        decoded = source.decoder.decode(_chunk(values), NOW_MS)
        events = decoded.batch.record[~decoded.batch.consent_only]
        rejected = [reject.record for reject in decoded.rejects]
        assert sorted([*events.tolist(), *rejected]) == list(range(len(values)))
        row_of = {record: k for k, record in enumerate(decoded.batch.record.tolist())}
        for place, row in zip(places, expected, strict=True):
            assert _row(decoded.batch, row_of[place]) == row, values[place]
    return chunks * broken


def _among(
    rng: random.Random, pool: Sequence[bytes], good: Sequence[bytes], broken: int
) -> tuple[list[bytes], list[int]]:
    """Good values at random places among broken ones, and these places."""
    size = len(good) + broken
    places = sorted(rng.sample(range(size), len(good)))
    values = [_broken(rng, pool) for _ in range(size)]
    for place, value in zip(places, good, strict=True):
        values[place] = value
    return values, places


def _broken(rng: random.Random, pool: Sequence[bytes]) -> bytes:
    value = rng.choice(pool)
    how = rng.randrange(8)
    if how == 0:
        return value[: rng.randrange(len(value) + 1)] + rng.choice(pool)
    if how == 1:
        return value[:7] + rng.randbytes(rng.randrange(40))
    return mutated(rng, value)


def _chunk(values: Sequence[bytes]) -> RecordChunk:
    n = len(values)
    return RecordChunk(
        "t", 0, np.arange(n), np.full(n, NOW_MS), Spans.of([None] * n), Spans.of(values), n
    )


def _row(batch: EventBatch, k: int) -> tuple[Any, ...]:
    """All columns of one event but the place of its record."""
    return (
        batch.customer[k], batch.event_id[k], int(batch.time_ms[k]), int(batch.event_hash[k]),
        int(batch.type_code[k]), batch.number[:, k].tobytes(), batch.category[:, k].tobytes(),
        batch.consent[:, k].tobytes(),
    )  # fmt: skip


def main() -> None:
    """Runs over all formats until so many broken values were read."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.beside", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000, help="of all formats together")
    parser.add_argument("--form", choices=sorted(FORMS), action="append")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    names = given.form or list(FORMS)
    for name in names:
        began_s, done, n = time.monotonic(), 0, 0
        while done < given.records / len(names):
            faulthandler.dump_traceback_later(_HANG_S, exit=True)
            try:
                done += check_beside(random.Random(f"{given.seed}/{n}"), name, 10, 1_500)
            except BaseException:
                print(f"{name}: input {n} of seed {given.seed} is a finding", flush=True)
                raise
            n += 1
            if n % 20 == 0:
                print(f"{name}: {done} so far", file=sys.stderr, flush=True)
        print(
            f"{name}: {done} values in {time.monotonic() - began_s:.0f} s, no finding", flush=True
        )


if __name__ == "__main__":
    main()
