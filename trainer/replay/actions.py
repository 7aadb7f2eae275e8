"""What was done to customers: the records that say so, and the event that each of them is about.

An action is a treatment, an event that says a strategy was used, or a decision that a worker
published (`training.learn_from`). A treatment is about itself, a decision about the event that asked
for it, which it names by topic, partition and offset.

Rules of this file
1. Events are decoded with the paths of the features alone, as the worker does; what only training
   reads is decoded apart, so that a fault in it takes no event out of the history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from stream.campaign.file import Campaign
from stream.codecs import property_decoder
from stream.columns import Bools, EventBatch, Float64s, Int64s, RecordChunk
from stream.decisions.hashed_names import Names
from stream.decisions.reader import Decided, DecisionReader
from stream.events.decoder import NEVER_MS
from stream.record_order import places
from stream.schemas.registry import registry_of
from trainer.errors import TrainingError

Records: TypeAlias = npt.NDArray[Any]
"""An array of structs, such as of `ACTION`. Shape (n,)."""

ACTION = np.dtype(
    [("offset", "<i8"), ("identity", "<u8"), ("propensity", "<f8"), ("element", "<i4"),
     ("strategy", "<i2"), ("topic", "i1"), ("held_out", "?"), ("possible", "<i8")]
)  # fmt: skip
"""Place of the event it is about, topic -1 for one that the campaign does not have, element as in `EventBatch`; hash of the id of
a decision or a treatment, 0 for none; probability with which the strategy was used, NaN if not said; index of the strategy,
S for nothing, -1 for one that the campaign does not have; whether the customer was in a hold-out; bit k
for strategy k that could have been used, -1 if not said."""


@dataclass(frozen=True, slots=True, eq=False)
class Actions:
    """m actions about events of one timeline, each once.

    Attributes:
        event: The event it is about, -1 when the timeline does not have it. Shape (m,), int64.
        strategy: As in `ACTION`. Shape (m,), int64.
        propensity: As in `ACTION`. Shape (m,), float64.
        held_out: As in `ACTION`. Shape (m,), bool.
        possible: As in `ACTION`. Shape (m,), int64.
        duplicates: Actions that do not count: decisions that were published again, and what is about
            an event that is repeated.
    """

    event: Int64s
    strategy: Int64s
    propensity: Float64s
    held_out: Bools
    possible: Int64s
    duplicates: int

    def __len__(self) -> int:
        return len(self.event)

    @classmethod
    def of(cls, records: Records, topic: Int64s, place: Int64s, row: Int64s) -> Actions:
        """Finds the events that the records are about.

        What a customer got twice under one id within one topic counts once: the first counts.

        Args:
            records: Of the dtype `ACTION`, in the order in which they were published.
            topic: Topic of each event of the timeline. Shape (n,), int64.
            place: Its place, as `record_order.places` says it, rising within a topic. Shape (n,), int64.
            row: Its customer. Shape (n,), int64.
        """
        once = _first_of_each(records)
        event = np.full(len(once), -1, np.int64)
        wanted = places(once["offset"], once["element"])
        for t in np.unique(once["topic"]):
            about = np.flatnonzero(once["topic"] == t)
            there = np.flatnonzero(topic == t)
            at = np.searchsorted(place[there], wanted[about])
            inside = at < len(there)
            found = there[at[inside]]
            same = place[found] == wanted[about[inside]]
            event[about[inside][same]] = found[same]
        first = _first_of_id(once, event, row)
        once, event = once[first], event[first]
        return cls(
            event,
            once["strategy"].astype(np.int64),
            once["propensity"].astype(np.float64),
            once["held_out"],
            once["possible"].astype(np.int64),
            len(records) - len(once),
        )

    def without(self, repeated: Bools) -> Actions:
        """The actions about the events that stay when the repeated ones are left out.

        Args:
            repeated: Of each event of the timeline, whether it is left out. Shape (n,), bool.
        """
        if not repeated.any():
            return self
        known = self.event >= 0
        stays = ~known
        stays[known] = ~repeated[self.event[known]]
        place = np.cumsum(~repeated) - 1
        event = np.where(known, place[self.event], -1)[stays]
        left_out = self.duplicates + int((~stays).sum())
        return Actions(
            event,
            self.strategy[stays],
            self.propensity[stays],
            self.held_out[stays],
            self.possible[stays],
            left_out,
        )


class TreatmentReader:
    """Reads what treatments say.

    Args:
        campaign: The campaign file.
        event_types: Names of the type codes.
    """

    def __init__(self, campaign: Campaign, event_types: Sequence[str]) -> None:
        training = campaign.training
        self._knows_ids = campaign.events.repeats_remembered > 0
        self._code = event_types.index(training.treatment)
        self._strategies = Names.of_strategies(campaign)
        propensity = training.propensity_property
        numbers = () if propensity is None else (propensity,)
        self._decoder = property_decoder(
            campaign, numbers, (training.strategy_property,), registry_of(campaign.events)
        )

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
        records["element"] = batch.element[sent]
        if self._knows_ids:
            records["identity"] = batch.event_hash[sent]
        records["strategy"], records["propensity"], records["possible"] = -1, np.nan, -1
        if len(sent):
            again = chunk.take(np.unique(batch.record[sent]))
            said = self._decoder.decode(again, NEVER_MS).batch.events()
            wanted = places(batch.offset[sent], batch.element[sent])
            _, mine, theirs = np.intersect1d(
                wanted, places(said.offset, said.element), assume_unique=True, return_indices=True
            )
            records["strategy"][mine] = self._strategies.find(said.category[0, theirs])
            if len(said.number):
                records["propensity"][mine] = said.number[0, theirs]
        return sent, records


def decision_reader(campaign: Campaign) -> DecisionReader:
    """Reads the decision topic for learning.

    Raises:
        TrainingError: Decisions of this campaign do not say what training needs.
    """
    if campaign.decisions.format == "flat":
        raise TrainingError(
            'expected decisions.format = "cloudevents" with training.learn_from = "decisions", '
            'got "flat": a flat decision says neither its event nor its probability. Learn '
            "from treatments, or from the time when the form was changed (--since)"
        )
    return DecisionReader(campaign)


def of_decisions(decided: Decided, index: Int64s) -> Records:
    """Some decisions as records of the dtype `ACTION`."""
    records = np.zeros(len(index), ACTION)
    for name in ACTION.names or ():
        records[name] = getattr(decided, name)[index]
    return records


def _first_of_each(records: Records) -> Records:
    """The records without those that repeat an earlier one, in their order."""
    names = ("topic", "offset", "element", "identity")
    order = np.lexsort([records[name] for name in names])  # stable
    repeats = np.ones(max(len(records) - 1, 0), np.bool_)
    for name in names:
        repeats &= np.diff(records[name][order]) == 0
    first = np.sort(order[np.append(True, ~repeats)[: len(records)]])
    return records.take(first)


def _first_of_id(records: Records, event: Int64s, row: Int64s) -> Int64s:
    """The records without those of an id that their customer had before within the topic, in their order."""
    told = np.flatnonzero((event >= 0) & (records["identity"] != 0))
    if len(told) == 0:
        return np.arange(len(records))
    names = (event[told], records["identity"][told], records["topic"][told], row[event[told]])
    order = np.lexsort(names)
    same = np.ones(len(told) - 1, np.bool_)
    for name in names[1:]:
        same &= np.diff(name[order].astype(np.uint64)) == 0
    again = told[order[1:][same]]
    return np.setdiff1d(np.arange(len(records)), again, assume_unique=True)
