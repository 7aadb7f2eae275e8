"""What is asked about events whose features are computed, and the decisions about them.

Scores, conditions, consent and chance are asked for all events of a chunk at once. What depends on earlier
decisions about the same customer is asked in the order of events: of one topic with its chunk, of
several in the passes of `stream.merged_step`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from stream.campaign.file import Campaign
from stream.columns import Bools, EventBatch, Float32s, Int64s, RecordChunk, UInt64s
from stream.compiled.keyed_hash import hashes_of, key_of
from stream.contacts.budgets.spending import nothing_to_pay
from stream.contacts.chunk_contacts import ChunkContacts, ChunkReader, has_contact_rules
from stream.contacts.contact_plan import keep_homes
from stream.contacts.contact_table import ContactTable
from stream.contacts.published_contacts import NONE_PUBLISHED, PublishedRows, take_published
from stream.decisions.published import Published
from stream.events.flaws import Decoded
from stream.features.plan import Applied, FeaturePlan
from stream.policy.choice import Policy
from stream.policy.conditions import asks_for_identity
from stream.policy.contact_stage import Contacts
from stream.policy.decision import DecisionBatch
from stream.policy.draws import Asked, Chance
from stream.policy.eligibility import eligible, only_identified
from stream.scoring.no_model import NoModel

if TYPE_CHECKING:
    from stream.scoring.scorer import Scorer  # it loads TensorFlow, which not everybody needs


NOBODY: Int64s = np.zeros(0, np.int64)


class Customers(NamedTuple):
    """Whom the events of a chunk are about, and what was told them, for the rules about contacts.

    Attributes:
        rows: Row of the customer of each event. Shape (n,), int64.
        contacts: The contact rows of the partition; None where no rule remembers contacts.
        now_ms: The time, epoch milliseconds.
        published: Decisions about events of the chunk that lie in the decision topic, None for none.
        carried: Row that each login carries over to its customer, -1 for none. Shape (n,) or (0,), int64.
    """

    rows: Int64s
    contacts: ContactTable | None
    now_ms: int
    published: Published | None = None
    carried: Int64s = NOBODY


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about the m events of a chunk that are to be decided.

    Attributes:
        index: Which of its events, rising. Shape (m,), int64.
        scores: Model outputs. Shape (m, outputs), float32.
        allowed: Whether the customer meets the conditions of each strategy. Shape (m, S), bool.
        consent: As `Policy.choose` takes it. Shape (purposes, m), int8.
        closed: Likewise. Shape (channels, m), bool.
        asked: What chance and prices ask, None for a campaign that asks neither.
        contacts: All events of the chunk, as the rules about contacts see them; None without rules.
        now_ms: The time, epoch milliseconds.
        published: What lies in the decision topic about events of the chunk.
    """

    index: Int64s
    scores: Float32s
    allowed: Bools
    consent: npt.NDArray[np.int8]
    closed: Bools
    asked: Asked | None
    contacts: ChunkContacts | None
    now_ms: int
    published: PublishedRows

    def part(self, events: Int64s) -> tuple[Question, Int64s]:
        """The question about some events of the chunk, rising, and which of its m they are."""
        assert self.contacts is not None, "only what knows contacts is asked in parts"
        at = np.flatnonzero(np.isin(events, self.index, assume_unique=True))
        place = np.searchsorted(self.index, events[at])
        asked = None if self.asked is None else self.asked.take(place)
        part = Question(
            at, self.scores[place], self.allowed[place], self.consent[:, place],
            self.closed[:, place], asked, self.contacts.take(events), self.now_ms,
            take_published(self.published, events),
        )  # fmt: skip
        return part, place


@dataclass(frozen=True, slots=True)
class Decided:
    """The m events of a chunk that were decided.

    Attributes:
        chunk: The chunk.
        batch: Its events.
        index: Which of them. Shape (m,), int64.
        decisions: What was decided.
        features: What was scored. Shape (m, F), float32.
    """

    chunk: RecordChunk
    batch: EventBatch
    index: Int64s
    decisions: DecisionBatch
    features: Float32s

    def take(self, which: Int64s) -> Decided:
        """Some of them."""
        return Decided(
            self.chunk, self.batch, self.index[which], self.decisions.take(which),
            self.features[which],
        )  # fmt: skip


class Deciding:
    """The questions of one campaign, and the answers.

    Args:
        campaign: The campaign file.
        plan: Its compiled features.

    Attributes:
        has_contacts: Whether any rule is about contacts: decisions depend on those before.
    """

    def __init__(self, campaign: Campaign, plan: FeaturePlan) -> None:
        self._plan = plan
        self._topics = {name: i for i, name in enumerate(campaign.topics.events)}
        self._strategies = len(campaign.strategies)
        self._asks_identity = asks_for_identity(campaign.strategies)
        self._chance = {topic: Chance(campaign, topic) for topic in campaign.topics.events}
        self.has_contacts = has_contact_rules(campaign)
        if self.has_contacts:
            paths = plan.category_paths
            self._reader = ChunkReader(campaign, plan.event_types, paths, plan.number_paths)
            self._release_key = key_of("release", campaign.app)
            self._has_releases = campaign.quiet_hours is not None

    def ask(
        self, scorer: Scorer | NoModel, policy: Policy, chunk: RecordChunk, decoded: Decoded,
        applied: Applied, wanted: Bools, counted: EventBatch, loud: Bools, customers: Customers | None,
    ) -> Question:  # fmt: skip
        """Asks about the events of a chunk.

        Args:
            scorer: The model in force.
            policy: The policy over its outputs.
            chunk: The chunk.
            decoded: Its n events.
            applied: What they gave.
            wanted: Which are to be decided. Shape (n,), bool.
            counted: The events with offsets as rows count them.
            loud: Which are not silent. Shape (n,), bool.
            customers: Whom they are about; None without rules about contacts.
        """
        batch, contacts, now_ms, published = decoded.batch, None, 0, NONE_PUBLISHED
        if customers is not None and customers.published is not None:
            is_published, published = customers.published.of(batch)
            wanted = wanted & ~is_published
        if self.has_contacts:
            assert customers is not None, "expected the customers, for the rules about contacts"
            contacts = self._reader.read(
                counted, self._topics[chunk.topic], customers.rows, applied.applied & loud,
                self._spread(batch), customers.contacts, self._source(customers.carried, applied, loud),
            )  # fmt: skip
            wanted = wanted & contacts.heard.counts  # others were decided before a crash
            now_ms = customers.now_ms
        index = np.flatnonzero(wanted)
        scores, plan, raw = scorer.score(applied.features[index]), self._plan, applied.raw[index]
        allowed = eligible(
            raw, plan.condition_strategy, plan.condition_column, plan.condition_op,
            plan.condition_number, self._strategies,
        )  # fmt: skip
        if self._asks_identity.any():
            allowed = only_identified(allowed, decoded.identified[index], self._asks_identity)
        asked = None
        if policy.asks:
            asked = self._chance[chunk.topic].ask(chunk.partition, batch, index, raw)
        consent, closed = applied.consent[:, index], applied.closed[:, index]
        return Question(
            index, scores, allowed, consent, closed, asked, contacts, now_ms, published
        )  # fmt: skip

    @staticmethod
    def _source(carried: Int64s, applied: Applied, loud: Bools) -> Int64s:
        """Whose contacts logins carry over: not what was told before, nor what only rebuilds."""
        return np.where(loud & ~applied.repeated, carried, -1) if len(carried) else carried

    def _spread(self, batch: EventBatch) -> UInt64s:
        """Where each customer is in the spread of a release. Shape (n,), uint64."""
        if not self._has_releases:
            return np.zeros(len(batch), np.uint64)
        return hashes_of(batch.customer, self._release_key)

    def answer(self, policy: Policy, question: Question) -> DecisionBatch:
        """Decides, and counts the contacts."""
        scores, allowed, asked = question.scores, question.allowed, question.asked
        chunk = question.contacts
        if chunk is None:
            return policy.choose(scores, allowed, question.consent, question.closed, asked)
        plan, n, purse = self._reader.plan, len(question.index), chunk.table.purse
        state, heard, moved = self._reader.locate(chunk)
        contacts = Contacts(
            plan.rules, self._reader.zones.zones, plan.quiet, plan.engine, state, heard,
            question.index, chunk.spread, question.now_ms,
            np.zeros((2, 2, len(plan.rules.limit)), np.int64),
            np.zeros((n, self._strategies), np.int64), np.zeros(n, np.int64), question.published,
            nothing_to_pay(self._strategies) if purse is None else purse.open(question.now_ms),
        )  # fmt: skip
        decisions = policy.choose(
            scores, allowed, question.consent, question.closed, asked, contacts
        )
        keep_homes(state, heard, moved)
        if purse is not None:
            purse.close(contacts.spending)
        return decisions
