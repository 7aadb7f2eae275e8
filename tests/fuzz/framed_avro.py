"""Avro beside fastavro: random schemas, random values, and their bytes broken."""

from __future__ import annotations

import io
import json
import random
import re
from typing import Any

import fastavro

from stream.formats.avro.avro_language import AVRO
from stream.formats.port import WriterSchema
from tests.fuzz.framed import NEEDED, avro_bytes, avro_schema, avro_value, calm_word, mutated, plain
from tests.fuzz.framed_check import NO_VALUE, Compared, compare, decode, judged

_UNDECIDED = object()
_BEYOND = re.compile("year .* out of range|ordinal must be|must be in 1..9999")


def check_avro(rng: random.Random, values: int = 40) -> Compared:
    """Two schemas in one chunk, most often one of them of events as they should be."""
    calm = [rng.random() < 0.6 for _ in range(2)]
    texts = [avro_schema(rng, calm=one) for one in calm]
    schemas = [fastavro.parse_schema(json.loads(json.dumps(one))) for one in texts]
    writers = [WriterSchema("AVRO", json.dumps(one)) for one in texts]
    which = [rng.randrange(2) for _ in range(values)]
    contents = [_content(rng, schemas[k], texts[k], calm=calm[k]) for k in which]
    found, alone = decode(
        AVRO,
        writers,
        [b"\0\0\0\0" + bytes([k + 1]) + c for k, c in zip(which, contents, strict=True)],
    )
    raw = [_read(schemas[k], c) for k, c in zip(which, contents, strict=True)]
    decided = [i for i in range(values) if raw[i] is not _UNDECIDED]
    which, contents = [which[i] for i in decided], [contents[i] for i in decided]
    found, raw = [found[i] for i in decided], [raw[i] for i in decided]
    expected = [NO_VALUE if one is NO_VALUE else judged(plain(one)) for one in raw]
    compare(
        found, expected, "bad_avro",
        lambda i: not _is_what_it_would_write(schemas[which[i]], raw[i], contents[i]),
    )  # fmt: skip
    return Compared(len(decided), len(alone.intersection(decided)))


def _content(rng: random.Random, schema: Any, text: Any, *, calm: bool) -> bytes:
    value = avro_value(rng, text)
    if not calm:
        return mutated(rng, avro_bytes(schema, value))
    value |= {name: calm_word(rng) for name in NEEDED}
    content = avro_bytes(schema, value)
    return mutated(rng, content) if rng.random() < 0.3 else content


def _read(schema: Any, content: bytes) -> Any:
    """What fastavro reads, NO_VALUE when it raises or leaves bytes."""
    source = io.BytesIO(content)
    try:
        found = fastavro.schemaless_reader(source, schema)
        plain(found)
    except Exception as exc:  # noqa: BLE001  # it raises whatever it likes
        # A time or a number that Python cannot hold: the bytes may be sound all the same.
        beyond = isinstance(exc, ArithmeticError) or _BEYOND.search(str(exc))
        return _UNDECIDED if beyond else NO_VALUE
    return found if source.tell() == len(content) else NO_VALUE


def _is_what_it_would_write(schema: Any, value: Any, content: bytes) -> bool:
    """fastavro takes lengths, indexes and ends of blocks that lie; it does not write them."""
    try:
        return avro_bytes(schema, value) == content
    except Exception:  # noqa: BLE001  # as above
        return False
