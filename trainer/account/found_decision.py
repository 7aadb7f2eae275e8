"""Finding one decision in the decision topic, or in an archive of it: by its id, or the newest of a customer."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np

from models.errors import NO_JSON
from stream.columns import Float32s, RecordChunk
from stream.decisions.encoder import FEATURES_HEADER
from stream.kafka.headers import last_contents
from trainer.history.source import OnRecords, Source

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_HEADER = FEATURES_HEADER.encode()


class FoundDecision(NamedTuple):
    """A record of the decision topic.

    Attributes:
        where: Topic, partition and offset.
        told: The decision as it stands.
        vector: What was scored, normalized features; None when the record does not carry them.
            Shape (F,), float32.
    """

    where: tuple[str, int, int]
    told: dict[str, Any]
    vector: Float32s | None


def find_decision(
    source: Source, topic: str, wanted: str, on_records: OnRecords | None = None
) -> FoundDecision | None:
    """The decision with an id, else the newest one about a customer; None when there is neither.

    Of a decision that was published more than once the first record counts.
    """
    needle = wanted.encode()
    by_id: FoundDecision | None = None
    newest: FoundDecision | None = None
    for chunk in source.chunks([topic], on_records):
        if len(chunk) == 0:
            continue
        if by_id is None and needle in chunk.value.data.tobytes():
            by_id = next(_with_id(chunk, wanted), None)
        of_customer = _of_customer(chunk, needle)
        if len(of_customer):
            newest = _newer(newest, _read(chunk, int(of_customer[-1])))
    return by_id or newest


def _with_id(chunk: RecordChunk, wanted: str) -> Any:
    for i in range(len(chunk)):
        found = _read(chunk, i)
        if found is not None and wanted in (found.told.get("id"), found.told.get("decision_id")):
            yield found


def _of_customer(chunk: RecordChunk, customer: bytes) -> Any:
    same_size = np.flatnonzero(chunk.key.size == len(customer))
    return [i for i in same_size.tolist() if chunk.key[i] == customer]


def _newer(one: FoundDecision | None, other: FoundDecision | None) -> FoundDecision | None:
    """A customer has one partition, so the later in it is the newer; one that was moved, by its time."""
    if one is None or other is None:
        return other or one
    return max(one, other, key=lambda found: (str(found.told.get("time", "")), found.where[2]))


def _read(chunk: RecordChunk, i: int) -> FoundDecision | None:
    try:
        told = _decode(chunk.value[i] or b"")
    except NO_JSON:
        return None
    vector = None
    if chunk.headers is not None:
        content = last_contents(chunk.headers.take(np.array([i])), _HEADER)[0]
        if content is not None and len(content) % 4 == 0:
            vector = np.frombuffer(content, "<f4").astype(np.float32)
    where = chunk.topic, chunk.partition, int(chunk.offset[i])
    return FoundDecision(where, told, vector)
