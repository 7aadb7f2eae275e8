"""The decision topic, read back: the one place that knows where in a decision what stands.

`parse` reads single messages of either form, whole. `DecisionReader` reads a chunk as columns, for who
learns from millions of them. `vectors` reads what was scored, from the headers. `stream.decisions.encoder` is
what writes them. Its readers: examples from decisions (`trainer.replay.actions`), parity
(`trainer.parity.logged`), the demo and the benchmarks.

Rules of this file
1. A record is read as it stands; what is wrong with it is for the caller to count.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta, Struct, field

from models.errors import NO_JSON
from stream.campaign.field_path import quoted
from stream.campaign.file import Campaign, EventMapping
from stream.columns import (
    Bools,
    Float32s,
    Float64s,
    Int32s,
    Int64s,
    RecordChunk,
    Spans,
    UInt64s,
)
from stream.compiled.category_hash import category_hash
from stream.decisions.encoder import EVENT_TYPE, FEATURES_HEADER, GROUPS
from stream.decisions.expiry import ExpiryReader
from stream.decisions.hashed_names import Names
from stream.events.decoder import NEVER_MS, EventDecoder
from stream.kafka import record_kernels
from stream.kafka.records import CorruptRecords
from stream.policy.decision import CERTAIN, NOTHING
from stream.record_order import ELEMENTS_MAX

EXPIRED = "expired"
"""Reason code of a decision that had expired when it was made: it contacted nobody, and teaches nothing."""
INCOMPLETE = "incomplete"
"""Reason code of a record that lacks what every decision has."""
_HELD_OUT = category_hash(GROUPS[1].encode())
_HEADER = np.frombuffer(FEATURES_HEADER.encode(), np.uint8)

_Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Moment = Annotated[datetime, Meta(tz=True)]


class FlatDecision(Struct, frozen=True, gc=False):
    """A decision in the flat form."""

    customer_id: str
    event_id: str | None
    strategy: str
    score: float | None


class Event(Struct, frozen=True, gc=False):
    """The event that a decision is about."""

    topic: str
    partition: _Count
    offset: _Count
    time: Moment
    index: Annotated[int, Meta(ge=0, le=ELEMENTS_MAX)] | None = None

    @property
    def element(self) -> int:
        """Its index in the batch that its record holds, -1 when it is the record."""
        return -1 if self.index is None else self.index


class Action(Struct, frozen=True, gc=False):
    """What is to be done."""

    strategy: str


class Drop(Struct, frozen=True, gc=False):
    """A strategy that was not taken; the code is the name of a `Dropped`."""

    strategy: str
    code: str


class Data(Struct, frozen=True):
    """What was decided, and on what grounds."""

    action: Action
    event: Event
    model: str
    feature_contract: str
    reasons: tuple[str, ...]
    score: float | None
    expected_value: float | None
    probability: float | None
    probability_without: float | None
    action_probability: float = 1.0
    explored: bool = False
    group: str = GROUPS[0]
    dropped: tuple[Drop, ...] = ()


class Decision(Struct, frozen=True):
    """A decision in the CloudEvents form; docs/decisions.md says what each part means."""

    id: str
    customer: str = field(name="subject")
    event_id: str = field(name="causationid")
    time: Moment
    data: Data
    expires: Moment | None = field(name="expirytime", default=None)


_parse = msgspec.json.Decoder(Decision).decode
_parse_flat = msgspec.json.Decoder(FlatDecision).decode


def parse(value: bytes | memoryview) -> Decision | None:
    """One decision in the CloudEvents form, None for anything else."""
    try:
        return _parse(value)
    except NO_JSON:
        return None


def parse_flat(value: bytes | memoryview) -> FlatDecision | None:
    """One decision in the flat form, None for anything else."""
    try:
        return _parse_flat(value)
    except NO_JSON:
        return None


def epoch_ms(time: datetime) -> int:
    """A time of a decision, epoch milliseconds."""
    return round(time.timestamp() * 1000)


def vectors(chunk: RecordChunk, records: Int64s, features: int) -> tuple[Bools, Float32s]:
    """The vectors that were scored, from the headers.

    Args:
        chunk: The records.
        records: Some of them. Shape (n,), int64.
        features: Numbers in a vector, F.

    Returns:
        Which of the n carry a vector of this size, shape (n,), bool, and the m vectors of these,
        shape (m, F), float32.

    Raises:
        CorruptRecords: The headers of a record do not follow the format.
    """
    value = chunk.value.take(records)
    start, size = out = np.empty((2, len(records)), np.int64)
    bad = record_kernels.find_header(value.data, value.start, value.size, _HEADER, out)
    if bad >= 0:
        offset = int(chunk.offset[records[bad]])
        raise CorruptRecords(
            f"{chunk.topic}/{chunk.partition}: expected headers of format v2 at offset {offset}, got "
            "something else. Operator action: check the broker's disk and network",
            chunk.topic, chunk.partition, offset, offset,
        )  # fmt: skip
    has_vector = size == 4 * features
    if not has_vector.any():
        return has_vector, np.empty((0, features), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(value.data, 4 * features)
    return has_vector, windows[start[has_vector]].view("<f4").astype(np.float32, copy=False)


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """n decisions of a chunk as columns.

    Attributes:
        topic: Index of the topic of the event each is about, -1 for one that the campaign does not
            have. Shape (n,), int64.
        partition: Its partition. Shape (n,), int64.
        offset: Its offset. Shape (n,), int64.
        element: As in `EventBatch`. Shape (n,), int32.
        time_ms: Its time, epoch milliseconds. Shape (n,), int64.
        customer: Customer of each.
        strategy: Index of the strategy, S for nothing, -1 for one that the campaign does not have.
            Shape (n,), int64.
        propensity: Probability with which it was chosen, exact, NaN if not said. Shape (n,), float64.
        held_out: Whether the customer was in a hold-out. Shape (n,), bool.
        possible: Bit k for strategy k that had a chance, -1 where no chances were said, or of a
            campaign with more strategies than there are bits. Shape (n,), int64.
        identity: Hash of the id of the decision. Shape (n,), uint64.
        ghost: Index of what would have been chosen of a customer who is held out, -1 for others and where it
            is not said. Shape (n,), int64.
    """

    topic: Int64s
    partition: Int64s
    offset: Int64s
    element: Int32s
    time_ms: Int64s
    customer: Spans
    strategy: Int64s
    propensity: Float64s
    held_out: Bools
    possible: Int64s
    identity: UInt64s
    ghost: Int64s


_BITS_MAX = 62
_CONSENT_SETTINGS = [n for n in EventMapping.__struct_fields__ if n.startswith("consent")]
"""A decision is no word of a customer."""


class DecisionReader:
    """Reads chunks of the decision topic in the CloudEvents form.

    Args:
        campaign: The campaign file.
    """

    _NUMBERS = (
        "data.event.partition", "data.event.offset", "data.event.index", "data.action_probability",
    )  # fmt: skip
    _CATEGORIES = ("data.event.topic", "data.action.strategy", "data.group", "id", "data.ghost")

    def __init__(self, campaign: Campaign) -> None:
        mapping = msgspec.structs.replace(
            campaign.events,
            customer_id=("subject",),
            event_id=(),
            **dict.fromkeys(_CONSENT_SETTINGS, ()),
            type=("type",),
            # Not when it was decided, but when the event took place: bounds and windows are in
            # event time, and a decision has to be inside whenever its event is.
            timestamp=("data.event.time",),
            cloudevents=False,
            batch=None,
            no_ids=(),
            strict=True,
        )
        ids = [strategy.id for strategy in campaign.strategies]
        self._chances = [*ids, NOTHING] if len(ids) <= _BITS_MAX else []
        paths = tuple(f"data.probabilities.{quoted(name)}" for name in self._chances)
        self._decoder = EventDecoder(
            mapping, (EVENT_TYPE,), (*self._NUMBERS, *paths), self._CATEGORIES
        )
        self._expiry = ExpiryReader(campaign, mapping)
        self._topics = Names(campaign.topics.events)
        self._strategies = Names.of_strategies(campaign)

    def read(self, chunk: RecordChunk) -> tuple[Decided, Counter[str]]:
        """The decisions of a chunk, and how many records are none, by reason code."""
        # The event may be later than the record by another machine's clock, and is not moved.
        undated = replace(chunk, timestamp_ms=np.full(len(chunk), -1, np.int64))
        decoded = self._decoder.decode(undated, NEVER_MS)
        batch = decoded.batch
        reasons = Counter(reject.code for reject in decoded.rejects)
        complete = (batch.type_code == 0) & _is_count(batch.number[:2]).all(axis=0)
        index = batch.number[2]
        complete &= np.isnan(index) | (_is_count(index) & (index <= ELEMENTS_MAX))
        complete &= (batch.category[:-1] != 0).all(axis=0)
        if not complete.all():
            reasons[INCOMPLETE] = int((~complete).sum())
        # The record is as old as the decision, which says itself until when it lives.
        late = chunk.timestamp_ms[batch.record] >= self._expiry.read(undated, batch)
        if (expired := complete & late).any():
            reasons[EXPIRED] = int(expired.sum())
        keep = np.flatnonzero(complete & ~late)
        partition, offset, index, propensity = batch.number[:4, keep]
        topic, strategy, group, identity, ghost = batch.category[:, keep]
        return Decided(
            self._topics.find(topic), partition.astype(np.int64), offset.astype(np.int64),
            np.nan_to_num(index, nan=-1).astype(np.int32), batch.time_ms[keep],
            batch.customer.take(keep), self._strategies.find(strategy),
            # Its ten decimals stand for a whole number out of 2**32.
            np.rint(propensity * CERTAIN) / CERTAIN, group == _HELD_OUT,
            self._possible(batch.number[4:, keep]), identity, self._strategies.find(ghost),
        ), reasons  # fmt: skip

    def _possible(self, chances: Float64s) -> Int64s:
        said = chances > 0  # NaN, not said, is not
        bits = np.zeros(chances.shape[1], np.int64)
        for k in range(len(chances) - 1):
            bits |= said[k].astype(np.int64) << k
        return np.where(said.any(axis=0), bits, -1) if len(chances) else np.full(len(bits), -1)


def _is_count(number: Float64s) -> Bools:
    """Whether it is a whole number from 0 on that float64 holds exactly; not so when missing."""
    with np.errstate(invalid="ignore"):
        return np.asarray((number >= 0) & (number < 2**53) & (np.floor(number) == number))
