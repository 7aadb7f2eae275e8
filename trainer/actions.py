"""What was done to customers: the records that say so, and the event that each of them is about.

An action is a treatment, an event that says a strategy was used, or a decision that a worker
published (`training.learn_from`). A treatment is about itself, a decision about the event that asked
for it, which it names by topic, partition and offset.

Rules of this file
1. Events are decoded with the paths of the features alone, as the worker does; what only training
   reads is decoded apart, so that a fault in it takes no event out of the history.
2. A record that is no decision is counted by reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from stream.campaign import Campaign
from stream.columns import Bools, EventBatch, Float64s, Int64s, RecordChunk, Spans, UInt64s
from stream.decisions import EVENT_TYPE
from stream.events import EventDecoder
from stream.policy import NOTHING
from stream.scalars import category_hash
from trainer.errors import TrainingError

Records: TypeAlias = npt.NDArray[Any]
"""An array of structs, such as of `ACTION`. Shape (n,)."""

ACTION = np.dtype(
    [("offset", "<i8"), ("identity", "<u8"), ("propensity", "<f8"), ("strategy", "<i2"),
     ("topic", "i1")]
)  # fmt: skip
"""Place of the event it is about, topic -1 for one that the campaign does not have; hash of the id
of a decision; probability with which the strategy was used, NaN if not said; index of the strategy,
S for nothing, -1 for one that the campaign does not have."""

NEVER_MS = 2**62
"""The present, for decoders: an event from after its record is refused by the time of its record."""
INCOMPLETE = "incomplete"
"""Reason code of a record of the decision topic that lacks what every decision has."""


@dataclass(frozen=True, slots=True, eq=False)
class Actions:
    """m actions about events of one timeline, each once.

    Attributes:
        event: The event it is about, -1 when the timeline does not have it. Shape (m,), int64.
        strategy: As in `ACTION`. Shape (m,), int64.
        propensity: As in `ACTION`. Shape (m,), float64.
        duplicates: Decisions that were published again, which do not count.
    """

    event: Int64s
    strategy: Int64s
    propensity: Float64s
    duplicates: int

    def __len__(self) -> int:
        return len(self.event)

    @classmethod
    def of(cls, records: Records, topic: Int64s, offset: Int64s) -> Actions:
        """Finds the events that the records are about.

        Args:
            records: Of the dtype `ACTION`, in the order in which they were published.
            topic: Topic of each event of the timeline. Shape (n,), int64.
            offset: Its offset, rising within a topic. Shape (n,), int64.
        """
        once = _first_of_each(records)
        event = np.full(len(once), -1, np.int64)
        for t in np.unique(once["topic"]):
            about = np.flatnonzero(once["topic"] == t)
            there = np.flatnonzero(topic == t)
            place = np.searchsorted(offset[there], once["offset"][about])
            inside = place < len(there)
            found = there[place[inside]]
            same = offset[found] == once["offset"][about[inside]]
            event[about[inside][same]] = found[same]
        return cls(
            event,
            once["strategy"].astype(np.int64),
            once["propensity"].astype(np.float64),
            len(records) - len(once),
        )


class TreatmentReader:
    """Reads what treatments say.

    Args:
        campaign: The campaign file.
        event_types: Names of the type codes.
    """

    def __init__(self, campaign: Campaign, event_types: Sequence[str]) -> None:
        training = campaign.training
        self._code = event_types.index(training.treatment)
        self._strategies = _strategies(campaign)
        propensity = training.propensity_property
        numbers = () if propensity is None else (propensity,)
        self._decoder = EventDecoder(campaign.events, (), numbers, (training.strategy_property,))

    def read(self, chunk: RecordChunk, batch: EventBatch, topic: int) -> tuple[Int64s, Records]:
        """The treatments among the events of a chunk.

        Args:
            chunk: The records.
            batch: What they were decoded to.
            topic: Index of their topic.

        Returns:
            Their indices in `batch`, and records of the dtype `ACTION`; a strategy that cannot be
            read is one that the campaign does not have.
        """
        sent = np.flatnonzero(batch.type_code == self._code)
        records = np.zeros(len(sent), ACTION)
        records["topic"], records["offset"] = topic, batch.offset[sent]
        records["strategy"], records["propensity"] = -1, np.nan
        if len(sent):
            said, _ = self._decoder.decode(_take(chunk, batch.record[sent]), NEVER_MS)
            records["strategy"][said.record] = self._strategies.find(said.category[0])
            if len(said.number):
                records["propensity"][said.record] = said.number[0]
        return sent, records


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """n decisions of a chunk.

    Attributes:
        partition: Partition of the event each is about. Shape (n,), int64.
        customer: Customer of each.
        time_ms: Time of the event each is about, epoch milliseconds. Shape (n,), int64.
        records: Of the dtype `ACTION`. Shape (n,).
    """

    partition: Int64s
    customer: Spans
    time_ms: Int64s
    records: Records


class DecisionReader:
    """Reads the decision topic.

    Args:
        campaign: The campaign file.

    Raises:
        TrainingError: Decisions of this campaign do not say what training needs.
    """

    _NUMBERS = ("data.event.partition", "data.event.offset", "data.action_probability")
    _CATEGORIES = ("data.event.topic", "data.action.strategy", "id")

    def __init__(self, campaign: Campaign) -> None:
        if campaign.decisions.format == "flat":
            raise TrainingError(
                'expected decisions.format = "cloudevents" with training.learn_from = "decisions", '
                'got "flat": a flat decision says neither its event nor its probability. Learn '
                "from treatments, or from the time when the form was changed (--since)"
            )
        mapping = msgspec.structs.replace(
            campaign.events,
            customer_id=("subject",),
            event_id=(),
            consent=(),
            type=("type",),
            # Not when it was decided, but when the event took place: bounds and windows are in
            # event time, and a decision has to be inside whenever its event is.
            timestamp=("data.event.time",),
            cloudevents=False,
        )
        self._decoder = EventDecoder(mapping, (EVENT_TYPE,), self._NUMBERS, self._CATEGORIES)
        self._topics = _Names(campaign.topics.events)
        self._strategies = _strategies(campaign)

    def read(self, chunk: RecordChunk) -> tuple[Decided, Counter[str]]:
        """The decisions of a chunk, and how many records are none, by reason code."""
        batch, rejects = self._decoder.decode(chunk, NEVER_MS)
        reasons = Counter(reject.code for reject in rejects)
        partition, offset, propensity = batch.number
        complete = (batch.type_code == 0) & _is_count(partition) & _is_count(offset)
        complete &= (batch.category != 0).all(axis=0)
        if not complete.all():
            reasons[INCOMPLETE] = int((~complete).sum())
        keep = np.flatnonzero(complete)
        topic, strategy, identity = batch.category[:, keep]
        records = np.zeros(len(keep), ACTION)
        records["topic"] = self._topics.find(topic)
        records["offset"] = offset[keep]
        records["identity"] = identity
        records["propensity"] = propensity[keep]
        records["strategy"] = self._strategies.find(strategy)
        customer = batch.customer.take(keep)
        return Decided(
            partition[keep].astype(np.int64), customer, batch.time_ms[keep], records
        ), reasons


class _Names:
    """Finds names by the hash that the decoder delivers."""

    def __init__(self, names: Sequence[str]) -> None:
        hashes = np.array([category_hash(name.encode()) for name in names], np.uint64)
        self._index = np.argsort(hashes)
        self._hashes = hashes[self._index]

    def find(self, hashes: UInt64s) -> Int64s:
        """Index of each name, -1 for one that is not known. Shape (n,), int64."""
        place = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        return np.where(self._hashes[place] == hashes, self._index[place], -1)


def _first_of_each(records: Records) -> Records:
    """The records without those that repeat an earlier one, in their order."""
    names = ("topic", "offset", "identity")
    order = np.lexsort([records[name] for name in names])  # stable
    repeats = np.ones(max(len(records) - 1, 0), np.bool_)
    for name in names:
        repeats &= np.diff(records[name][order]) == 0
    first = np.sort(order[np.append(True, ~repeats)[: len(records)]])
    return records.take(first)


def _strategies(campaign: Campaign) -> _Names:
    return _Names([*(strategy.id for strategy in campaign.strategies), NOTHING])


def _is_count(number: Float64s) -> Bools:
    """Whether it is a whole number from 0 on that float64 holds exactly; not so when missing."""
    with np.errstate(invalid="ignore"):
        return np.asarray((number >= 0) & (number < 2**53) & (np.floor(number) == number))


def _take(chunk: RecordChunk, index: Int64s) -> RecordChunk:
    return RecordChunk(
        chunk.topic, chunk.partition, chunk.offset[index], chunk.timestamp_ms[index],
        chunk.key.take(index), chunk.value.take(index), chunk.next_offset,
    )  # fmt: skip
