"""From topics or an archive to contacts in two arms: decisions say who had, or would have had, a contact.

Rules of this file
1. Who is held out follows from the id of the customer and the campaign file, as in the worker; a decision
   that says another arm was made by another file, and counts for nothing.
2. A decision and an outcome count once, however often they were published.
3. Customers are known by a hash of 64 bits: no id is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from stream.campaign.file import Campaign
from stream.campaign.funnel_sections import HoldoutSpec
from stream.campaign.words import duration_ms
from stream.codecs import event_decoder
from stream.columns import Bools, Int64s, RecordChunk, UInt64s
from stream.compiled.keyed_hash import hashes_of, key_of
from stream.events.decoder import NEVER_MS
from stream.features.plan import FeaturePlan
from stream.policy.holdout import compile_holdouts, held_out
from stream.schemas.registry import registry_of
from trainer.errors import TrainingError
from trainer.evaluation.earned.earned import Contacts, Earned, earned
from trainer.evaluation.earned.last_contact import attributed
from trainer.history.source import Bounds, OnRecords, Source
from trainer.replay.actions import decision_reader

_KEY = key_of("earned")


def chosen_holdout(campaign: Campaign, name: str | None) -> int:
    """Index of the hold-out to measure by: the one that is named, else the largest that keeps everything.

    Raises:
        TrainingError: There is none.
    """
    specs = campaign.holdouts
    if not specs:
        raise TrainingError(
            "expected customers who are left alone, to compare with, got no hold-out in the campaign file. "
            'Add one, such as [[holdouts]] with id = "all" and share = 0.05, and wait until outcomes have '
            "come in"
        )
    ids = [spec.id for spec in specs]
    if name is None:
        whole = [i for i, spec in enumerate(specs) if spec.is_universal] or list(range(len(specs)))
        return max(whole, key=lambda i: specs[i].share)
    if name not in ids:
        raise TrainingError(f'expected one of the hold-outs {", ".join(ids)}, got "{name}"')
    return ids.index(name)


def share_of(specs: tuple[HoldoutSpec, ...], chosen: int) -> float:
    """Share of a hold-out among its customers and those who are in none: those of one salt are nested."""
    largest: dict[str, float] = {}
    for spec in specs:
        salt = spec.salt or spec.id
        largest[salt] = max(largest.get(salt, 0.0), spec.share)
    in_none = float(np.prod([1 - share for share in largest.values()]))
    return specs[chosen].share / (specs[chosen].share + in_none)


def read_earned(
    campaign: Campaign, plan: FeaturePlan, source: Source, bounds: Bounds, name: str | None = None,
    on_records: OnRecords | None = None, confidence: float = 0.95,
) -> Earned:  # fmt: skip
    """Reads a history, and compares the arms of a hold-out.

    Args:
        campaign: The campaign file.
        plan: Its compiled features, by which events are decoded.
        source: The history.
        bounds: Which event times count.
        name: Of the hold-out; None for the largest that keeps everything.
        on_records: Told of the progress.
        confidence: Of the intervals.

    Raises:
        TrainingError: There is no hold-out, or nothing was decided about its customers.
    """
    chosen = chosen_holdout(campaign, name)
    reading = _Reading(campaign, plan, bounds, chosen)
    topics = [*campaign.topics.events, campaign.topics.decisions]
    for chunk in source.chunks(topics, on_records):
        if len(chunk) == 0:
            continue
        if chunk.topic == campaign.topics.decisions:
            reading.decisions(chunk)
        else:
            reading.events(chunk)
    return reading.compared(confidence)


class _Reading:
    """What has been read so far, as columns."""

    def __init__(self, campaign: Campaign, plan: FeaturePlan, bounds: Bounds, chosen: int) -> None:
        self._campaign = campaign
        self._bounds = bounds
        self._chosen = chosen
        self._reader = decision_reader(campaign)
        self._decoder = event_decoder(campaign, plan, registry_of(campaign.events))
        self._holdouts = compile_holdouts(campaign)
        self._outcome = plan.event_types.index(campaign.training.outcome)
        self._end_ms = 0
        self._others = 0
        self._decided: list[_Decisions] = []
        self._arms: list[npt.NDArray[Any]] = []
        self._happened: list[_Outcomes] = []

    def decisions(self, chunk: RecordChunk) -> None:
        """Takes a chunk of the decision topic."""
        decided, _ = self._reader.read(chunk)
        bits = held_out(self._holdouts, decided.customer)
        mine = self._bounds.inside(decided.time_ms) & (decided.strategy >= 0)
        agrees = (bits != 0) == decided.held_out
        self._others += int((mine & ~agrees).sum())
        held = (bits >> self._chosen) & 1 == 1
        mine &= agrees & (held | (bits == 0))
        customer = hashes_of(decided.customer, _KEY)
        arms = np.empty(int(mine.sum()), _ARM)
        arms["customer"], arms["held"] = customer[mine], held[mine]
        self._arms.append(np.unique(arms))
        would = np.where(decided.ghost >= 0, decided.ghost, decided.strategy)
        contact = np.flatnonzero(mine & (would < len(self._campaign.strategies)))
        self._decided.append(_Decisions(
            customer[contact], decided.time_ms[contact], would[contact],
            decided.strategy[contact], decided.identity[contact],
        ))  # fmt: skip

    def events(self, chunk: RecordChunk) -> None:
        """Takes a chunk of an event topic."""
        for piece in self._decoder.pieces(chunk):
            batch = self._decoder.decode(piece, NEVER_MS).batch.events()
            inside = self._bounds.inside(batch.time_ms)
            if not inside.any():
                continue
            came_ms = np.where(batch.received_ms >= 0, batch.received_ms, batch.time_ms)
            reached_ms = np.minimum(batch.time_ms, came_ms)[inside]
            self._end_ms = max(self._end_ms, int(reached_ms.max()))
            index = np.flatnonzero(inside & (batch.type_code == self._outcome))
            self._happened.append(_Outcomes(
                hashes_of(batch.customer.take(index), _KEY), batch.time_ms[index],
                batch.event_hash[index],
            ))  # fmt: skip

    def compared(self, confidence: float) -> Earned:
        """The arms side by side."""
        campaign, spec = self._campaign, self._campaign.holdouts[self._chosen]
        arms = np.unique(np.concatenate([np.empty(0, _ARM), *self._arms]))
        if not arms["held"].any() or arms["held"].all():
            raise TrainingError(
                f"expected decisions about customers of the hold-out {spec.id} and about others, got "
                f"{int(arms['held'].sum()):,} and {int((~arms['held']).sum()):,} customers. Let the worker "
                "decide with this campaign file first, or look at --since and --until"
            )
        window_ms = duration_ms(campaign.training.attribution_window)
        contacts, mature = self._contacts(arms, window_ms)
        names = [strategy.id for strategy in campaign.strategies]
        found = earned(
            _taken(contacts, mature), names, share_of(campaign.holdouts, self._chosen),
            confidence=confidence, holdout=spec.id, outcome=campaign.training.outcome,
            window=campaign.training.attribution_window,
        )  # fmt: skip
        return replace(
            found, immature=int((~mature).sum()), notices=tuple(filter(None, self._notices()))
        )

    def _contacts(self, arms: npt.NDArray[Any], window_ms: int) -> tuple[Contacts, Bools]:
        """All contacts with what came of them, and whose window is over."""
        made, happened = _Decisions.joined(self._decided), _Outcomes.joined(self._happened)
        first = np.sort(np.unique(made.identity, return_index=True)[1])
        customer, known = _places(arms["customer"], made.customer[first])
        assert known.all(), "whoever is decided about is in an arm"
        time_ms, strategy = made.time_ms[first], made.strategy[first]
        bought, mine = _places(arms["customer"], happened.customer)
        mine &= _once(happened)
        outcomes = attributed(customer, time_ms, bought[mine], happened.time_ms[mine], window_ms)
        strategies = self._campaign.strategies
        value = np.array([one.value for one in strategies])
        cost = np.array([*(one.cost for one in strategies), 0.0])
        money = outcomes * value[strategy] - cost[made.taken[first]]
        contacts = Contacts(customer, strategy, time_ms, outcomes, money, arms["held"])
        return contacts, time_ms + window_ms <= self._end_ms

    def _notices(self) -> tuple[str, ...]:
        priced = [one.id for one in self._campaign.strategies if one.value_from]
        return (
            f"{self._others:,} decisions say another arm than this campaign file gives, and are left out: "
            "the hold-outs were changed; begin after that (--since)" if self._others else "",
            f"{', '.join(priced)}: counted with strategies.value, since decisions do not say what "
            "value_from was" if priced else "",
        )  # fmt: skip


_ARM = np.dtype([("customer", "<u8"), ("held", "?")])


class _Decisions(NamedTuple):
    """Decisions that are, or would have been, contacts. Shape (m,) each."""

    customer: UInt64s
    time_ms: Int64s
    strategy: Int64s
    taken: Int64s
    identity: UInt64s

    @classmethod
    def joined(cls, parts: Sequence[_Decisions]) -> _Decisions:
        """All of them."""
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


class _Outcomes(NamedTuple):
    """Outcomes of anybody. Shape (k,) each."""

    customer: UInt64s
    time_ms: Int64s
    identity: UInt64s

    @classmethod
    def joined(cls, parts: Sequence[_Outcomes]) -> _Outcomes:
        """All of them; none without any."""
        if not parts:
            nobody = np.empty(0, np.uint64)
            return cls(nobody, np.empty(0, np.int64), nobody)
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _places(known: UInt64s, wanted: UInt64s) -> tuple[Int64s, Bools]:
    """Place of each customer among those that are known, rising; and whether they are."""
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return at.astype(np.int64), known[at] == wanted


def _once(happened: _Outcomes) -> Bools:
    """The outcomes without those that were told again by the same id of the same customer. Shape (k,), bool."""
    pairs = np.stack([happened.customer, happened.identity], axis=1)
    keep = np.zeros(len(pairs), np.bool_)
    keep[np.unique(pairs, axis=0, return_index=True)[1]] = True
    keep |= happened.identity == 0
    return keep


def _taken(contacts: Contacts, which: Bools) -> Contacts:
    return Contacts(
        contacts.customer[which], contacts.strategy[which], contacts.time_ms[which],
        contacts.outcomes[which], contacts.money[which], contacts.held_out,
    )  # fmt: skip
