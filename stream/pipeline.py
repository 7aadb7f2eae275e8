"""The whole flow of one chunk, from record bytes to record bytes. Read this file first.

    RecordChunk -> EventBatch + rejects -> rows of the customer table -> feature matrix
                -> scores -> DecisionBatch -> record batches

No I/O and no clock: the caller passes the time. The customer table is the only thing that changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from models.contract import Normalization
from stream.campaign.file import Campaign
from stream.codecs import compile_codecs
from stream.columns import EventBatch, Float32s, Int64s, RecordChunk, Reject, Spans
from stream.decisions import dead_letter
from stream.decisions.encoder import FEATURES_HEADER
from stream.events.consent.vocabulary import UNREADABLE
from stream.events.decoder import NEVER_MS
from stream.events.flaws import NO_FLAWS, Decoded, Flaws
from stream.features.kernel import COUNTERS
from stream.features.plan import Applied, FeaturePlan, apply
from stream.formats.port import SchemaPort
from stream.kafka.records import RecordBatch, build_batches
from stream.keys.customer_keys import KeyCounts, compare_keys
from stream.policy.choice import Policy
from stream.policy.conditions import asks_for_identity
from stream.policy.decision import DecisionBatch
from stream.policy.draws import Chance
from stream.policy.eligibility import eligible, only_identified
from stream.record_order import event_times
from stream.scoring.no_model import NoModel
from stream.state.changelog import Source
from stream.state.emptied import emptied_rows
from stream.state.table import CustomerTable

if TYPE_CHECKING:
    from stream.scoring.scorer import Scorer  # it loads TensorFlow, which not everybody needs

KAFKA_BATCH_BYTES_MAX = 1_048_588
"""Largest record batch of a topic for which nobody has said anything else."""

_BATCH_BYTES_MAX = 900_000
# JSON may take six bytes for one, and the rest of a decision wants room, too.
_EVENT_IDS_PER_BATCH_MIN = 8


class BatchLimits(NamedTuple):
    """Largest record batch that each outgoing topic takes, bytes: its max.message.bytes."""

    decisions: int = KAFKA_BATCH_BYTES_MAX
    dead_letters: int = KAFKA_BATCH_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model in force, or none yet, and the policy over its outputs."""

    scorer: Scorer | NoModel
    policy: Policy


@dataclass(frozen=True, slots=True)
class Step:
    """What came of one chunk.

    Attributes:
        decisions: Batches for the decision topic.
        dead_letters: Batches for the dead-letter topic.
        rejects: The records that are no events.
        flaws: What could not be read in those that are.
        strategies: Decisions per strategy, "nothing" last. Shape (S + 1,), int64.
        decided: Number of decisions.
        received_ms: Record timestamp of each decided event, for latency. Shape (decided,), int64.
        counters: What `stream.features.kernel` counts.
        previous: Ids before the logins that events tell of.
        tombstones: Records with a key and no value that are no rejects.
        silent: Events that only rebuilt the table.
        unreadable: Records that say something of consent in a word that nobody knows.
        unreadable_words: Path and text of such words.
        events: Number of events, those that only rebuilt the table among them.
        keys: Events whose key is not their customer.
        newest_ms: Time of the newest event, epoch milliseconds, -1 for none.
    """

    decisions: list[RecordBatch] = field(default_factory=list)
    dead_letters: list[RecordBatch] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    flaws: Flaws = NO_FLAWS
    strategies: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))
    decided: int = 0
    received_ms: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))
    counters: Int64s = field(default_factory=lambda: np.zeros(COUNTERS, np.int64))
    silent: int = 0
    newest_ms: int = -1
    unreadable: int = 0
    unreadable_words: list[tuple[str, str]] = field(default_factory=list)
    events: int = 0
    keys: KeyCounts = field(default_factory=KeyCounts)
    previous: Spans = field(default_factory=lambda: Spans.of([]))
    tombstones: int = 0


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


class Pipeline:
    """Everything that a campaign file compiles to, ready for chunks.

    Args:
        campaign: The campaign file.
        plan: Its compiled features.
        schemas: The registry of the events, None for JSON.

    Attributes:
        limits: What the outgoing topics take; may be set once they are known.
    """

    def __init__(
        self, campaign: Campaign, plan: FeaturePlan, schemas: SchemaPort | None = None
    ) -> None:
        self.limits = BatchLimits()
        self.campaign = campaign
        self.plan = plan
        self.topics = {name: i for i, name in enumerate(campaign.topics.events)}
        self._first_word = {s.topic: Source(epoch=s.epoch).word(0) for s in campaign.topics.anew}
        self._codecs = compile_codecs(campaign, plan, schemas)
        self._asks_identity = asks_for_identity(campaign.strategies)
        self._chance = {topic: Chance(campaign, topic) for topic in campaign.topics.events}

    def step(
        self,
        chunk: RecordChunk,
        table: CustomerTable,
        deployment: Deployment,
        *,
        silent_until: int,
        now_ms: int,
    ) -> Step:
        """Takes one chunk of an event topic through the whole flow.

        Args:
            chunk: Records of an event topic.
            table: State of the customers of its partition. Changed.
            deployment: The model in force.
            silent_until: Offset before which events change the table and are not decided.
            now_ms: The time, epoch milliseconds.
        """
        decoded, refused = self.read(chunk, silent_until=silent_until, now_ms=now_ms)
        batch = decoded.batch
        if len(batch) == 0:
            return refused
        rows = table.rows_for(batch.customer)
        applied = self.apply(chunk.topic, batch, rows, table, deployment)
        decided, step = self.decide(deployment, chunk, decoded, applied, silent_until, refused)
        return replace(step, decisions=self.encode(deployment, decided, now_ms))

    def read(self, chunk: RecordChunk, *, silent_until: int, now_ms: int) -> tuple[Decoded, Step]:
        """The events of a chunk, and what came of the records that are none; arguments as for `step`."""
        decoded = self._codecs.decoder.decode(chunk, now_ms)
        loud = [one for one in decoded.rejects if chunk.offset[one.record] >= silent_until]
        letters = dead_letter.build(loud, chunk, now_ms, self.limits.dead_letters, _BATCH_BYTES_MAX)
        newest_ms = int(decoded.batch.time_ms.max()) if len(decoded.batch) else -1
        return decoded, Step(
            [], letters, loud, decoded.flaws, newest_ms=newest_ms, tombstones=decoded.tombstones
        )

    def apply(
        self, topic: str, batch: EventBatch, rows: Int64s, table: CustomerTable,
        deployment: Deployment,
    ) -> Applied:  # fmt: skip
        """Adds n events of a topic to their rows, shape (n,), and marks what changed."""
        emptied = emptied_rows(batch, rows, table)
        applied = apply(
            self.plan, table.state, rows, self._counted(batch, topic), self.topics[topic],
            deployment.scorer.normalization, emptied,
        )  # fmt: skip
        table.mark_dirty(rows[applied.applied | applied.repeated | batch.consent_only])
        table.mark_emptied(rows, emptied)
        return applied

    def decide(
        self, deployment: Deployment, chunk: RecordChunk, decoded: Decoded, applied: Applied,
        silent_until: int, refused: Step,
    ) -> tuple[Decided, Step]:  # fmt: skip
        """Decides about the events that ask for it; the step is the one of `read`, filled up."""
        batch = decoded.batch
        unreadable = int((batch.consent == UNREADABLE).any(axis=0).sum())
        words = self._codecs.decoder.unreadable(chunk, batch) if unreadable else []
        wanted = applied.applied & self.plan.decides[batch.type_code]
        silent = wanted & (batch.offset < silent_until)
        index = np.flatnonzero(wanted & ~silent)
        decisions = self._decide(deployment, chunk, decoded, applied, index)
        width = len(deployment.policy.strategies)
        step = replace(
            refused,
            strategies=np.bincount(decisions.strategy, minlength=width).astype(np.int64),
            decided=len(index),
            received_ms=batch.received_ms[index],
            counters=applied.counters,
            silent=int(silent.sum()),
            unreadable=unreadable,
            unreadable_words=words,
            events=len(batch),
            keys=compare_keys(chunk, batch),
            previous=batch.logins,
        )
        return Decided(chunk, batch, index, decisions, applied.features[index]), step

    def rebuild(
        self, chunk: RecordChunk, table: CustomerTable, normalization: Normalization, now_ms: int
    ) -> Applied:
        """Applies a chunk to a table without deciding: what a replay of history does."""
        batch = self._codecs.decoder.decode(chunk, now_ms).batch
        rows = table.rows_for(batch.customer)
        emptied = emptied_rows(batch, rows, table)
        topic, counted = self.topics[chunk.topic], self._counted(batch, chunk.topic)
        return apply(self.plan, table.state, rows, counted, topic, normalization, emptied)

    def event_times(self, chunk: RecordChunk) -> Int64s:
        """Time of the event of each record, -1 for none: by it several topics are caught up with."""
        return event_times(chunk, self._codecs.decoder.decode(chunk, NEVER_MS).batch)

    def _counted(self, batch: EventBatch, topic: str) -> EventBatch:
        """Events with offsets as rows count them: those of a topic begun anew after all before."""
        first = self._first_word.get(topic, 0)
        return replace(batch, offset=batch.offset + first) if first else batch

    def _decide(
        self, deployment: Deployment, chunk: RecordChunk, decoded: Decoded, applied: Applied,
        index: Int64s,
    ) -> DecisionBatch:  # fmt: skip
        scores = deployment.scorer.score(applied.features[index])
        plan, raw = self.plan, applied.raw[index]
        allowed = eligible(
            raw, plan.condition_strategy, plan.condition_column, plan.condition_op,
            plan.condition_number, len(self.campaign.strategies),
        )  # fmt: skip
        if self._asks_identity.any():
            allowed = only_identified(allowed, decoded.identified[index], self._asks_identity)
        asked = None
        if deployment.policy.asks:
            chance = self._chance[chunk.topic]
            asked = chance.ask(chunk.partition, decoded.batch, index, raw)
        return deployment.policy.choose(
            scores, allowed, applied.consent[:, index], applied.closed[:, index], asked
        )

    def encode(self, deployment: Deployment, decided: Decided, now_ms: int) -> list[RecordBatch]:
        """Batches for the decision topic."""
        chunk, batch, index = decided.chunk, decided.batch, decided.index
        encoder = self._codecs.encoders[chunk.topic]
        values = encoder.encode(
            self._without_long_ids(batch), index, decided.decisions, partition=chunk.partition,
            model_version=deployment.scorer.version,
            contract_digest=self.plan.contract.digest,
            decided_ms=now_ms,
        )  # fmt: skip
        vectors = None
        if self.campaign.decisions.feature_header:
            vectors = (FEATURES_HEADER, decided.features)
        return build_batches(
            encoder.keys(batch, index), values, now_ms, headers=encoder.headers, vectors=vectors,
            batch_bytes_max=min(_BATCH_BYTES_MAX, self.limits.decisions),
            codec=self.campaign.worker.compression,
        )  # fmt: skip

    def _without_long_ids(self, batch: EventBatch) -> EventBatch:
        """An event id that the decision topic would not take is none; all others are bounded."""
        ids = batch.event_id
        fits = ids.size <= self.limits.decisions // _EVENT_IDS_PER_BATCH_MIN
        return replace(batch, event_id=Spans(ids.data, ids.start, np.where(fits, ids.size, -1)))
