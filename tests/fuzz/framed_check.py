"""The kernels of framed values beside an oracle: the same events, the same refusals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from stream.campaign.purposes import general_purpose
from stream.campaign.words import duration_ms
from stream.columns import EventBatch, RecordChunk, Spans
from stream.events.batches.judged_rows import Left
from stream.events.consent.hearing import Hearing
from stream.events.consent.places import ConsentPlaces
from stream.events.decoder import EventDecoder
from stream.events.fields import Rows
from stream.events.paths import EventPaths
from stream.events.present import Event, Refused
from stream.events.reasons import Judge, Judged
from stream.events.times.judged_times import Times
from stream.events.times.timestamps import text_ms
from stream.formats.port import SchemaKey, WriterSchema
from stream.formats.reading import FramedFormat, Language
from tests.fuzz.framed import CATEGORIES, MAPPING, NUMBERS, TYPES

NOW_MS = 1_760_000_000_000
_EARLIEST_MS = text_ms(MAPPING.timestamp_earliest)
_TIMES = Times(NOW_MS, NOW_MS, _EARLIEST_MS, duration_ms(MAPPING.timestamp_ahead_max))
_PURPOSES = (general_purpose(MAPPING),)
_JUDGE = Judge(
    MAPPING, EventPaths.of(MAPPING, NUMBERS, CATEGORIES), TYPES,
    Hearing(ConsentPlaces(MAPPING, _PURPOSES)),
)  # fmt: skip

NO_VALUE = "no value"
"""What an oracle says of bytes that are none."""


class Compared(NamedTuple):
    """How many values were compared with what the oracle makes of them.

    Attributes:
        values: All.
        by_kernels: Those of which the kernels alone made an event; the others went to the judge as well.
    """

    values: int
    by_kernels: int


class Schemas:
    """A registry with some schemas, the first with id 1."""

    def __init__(self, schemas: Sequence[WriterSchema]) -> None:
        self._schemas = schemas

    def schema(self, schema_id: SchemaKey) -> WriterSchema | None:
        known = isinstance(schema_id, int) and 0 < schema_id <= len(self._schemas)
        return self._schemas[int(schema_id) - 1] if known else None


def decode(
    language: Language, schemas: Sequence[WriterSchema], values: Sequence[bytes | None]
) -> tuple[list[tuple[Any, ...] | str], set[int]]:
    """What becomes of each value: the columns of its event, or the code of its refusal.

    Beside it, which of them the judge has not seen.
    """
    decoder = _Watched(
        MAPPING, TYPES, NUMBERS, CATEGORIES, _PURPOSES, FramedFormat(language, Schemas(schemas))
    )
    n = len(values)
    chunk = RecordChunk(
        "events", 0, np.arange(n), np.full(n, NOW_MS), Spans.of([None] * n), Spans.of(values), n
    )
    decoded = decoder.decode(chunk, NOW_MS)
    batch = decoded.batch
    found: dict[int, tuple[Any, ...] | str] = {one.record: one.code for one in decoded.rejects}
    for row, record in enumerate(batch.record.tolist()):
        if batch.consent_only[row]:
            continue
        assert record not in found
        found[record] = event_row(batch, row)
    alone = {i for i in range(n) if not isinstance(found[i], str)} - decoder.judged
    return [found[i] for i in range(n)], alone


class _Watched(EventDecoder):
    """Knows which records its judge has taken."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.judged = set[int]()

    def _take(self, rows: Rows, i: int, judged: Judged, left: Left) -> None:
        self.judged.add(i)
        super()._take(rows, i, judged, left)


def judged(root: Any) -> tuple[Any, ...] | str:
    """The same by the judge, of an object that an oracle has read."""
    if not isinstance(root, dict):
        return "not_object"
    try:
        judged = _JUDGE.judge_root(root, _TIMES)
    except Refused as exc:
        return exc.code
    return judged_row(judged.event)


def compare(
    found: Sequence[tuple[Any, ...] | str],
    expected: Sequence[tuple[Any, ...] | str],
    refused: str,
    may_refuse: Callable[[int], bool],
) -> None:
    """Every value comes to the same; `may_refuse` says of which the oracle takes too much."""
    for i, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        if theirs == NO_VALUE:
            assert ours == refused, (i, ours, theirs)
        elif ours == refused:
            assert may_refuse(i), (i, ours, theirs)
        else:
            assert ours == theirs, (i, ours, theirs)


def event_row(batch: EventBatch, i: int) -> tuple[Any, ...]:
    """The columns of one event."""
    numbers = batch.number[:, i].tobytes()
    return (
        batch.customer[i], batch.event_id[i], int(batch.time_ms[i]), int(batch.type_code[i]),
        tuple(batch.consent[:, i].tolist()), numbers, tuple(batch.category[:, i].tolist()),
    )  # fmt: skip


def judged_row(event: Event) -> tuple[Any, ...]:
    """The same of an event that was judged."""
    numbers = np.array(event.numbers, np.float64).tobytes()
    return (
        event.customer, event.event_id, event.time_ms, event.type_code, tuple(event.consent), numbers,
        tuple(event.categories),
    )  # fmt: skip
