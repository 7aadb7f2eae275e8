"""The whole flow of one chunk, from record bytes to record bytes. Read this file first.

    RecordChunk -> EventBatch + rejects -> rows of the customer table -> feature matrix
                -> scores -> DecisionBatch -> record batches

No I/O and no clock: the caller passes the time. The customer table is the only thing that changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from models.contract import Normalization
from stream.campaign.file import Campaign
from stream.codecs import compile_codecs
from stream.columns import Bytes, EventBatch, Float32s, Int64s, RecordChunk, Reject, Spans
from stream.contacts.contact_table import ContactTable
from stream.deciding import Customers, Decided, Deciding, Question
from stream.decisions import dead_letter
from stream.decisions.batch_limits import BatchLimits
from stream.decisions.encoder import FEATURES_HEADER
from stream.decisions.published import Published
from stream.events.consent.vocabulary import UNREADABLE
from stream.events.decoder import NEVER_MS
from stream.events.flaws import NO_FLAWS, Decoded, Flaws
from stream.features.kernel import COUNTERS
from stream.features.plan import Applied, FeaturePlan, apply
from stream.formats.port import SchemaPort
from stream.kafka.records import RecordBatch, build_batches
from stream.keys.customer_keys import KeyCounts, compare_keys
from stream.policy.choice import Policy
from stream.policy.decision import DecisionBatch
from stream.record_order import event_times
from stream.scoring.no_model import NoModel
from stream.state.emptied import carried_rows, emptied_rows
from stream.state.marker import Source
from stream.state.table import CustomerTable

if TYPE_CHECKING:
    from stream.scoring.scorer import Scorer  # it loads TensorFlow, which not everybody needs

NOTHING_PUBLISHED: Mapping[str, Published] = {}
# Two of these hold the decisions of a chunk with 36 features each; the batches of a partition are sent one
# after the other. Topics take 1,048,588 bytes if nobody says otherwise.
_BATCH_BYTES_MAX = 1_000_000
# JSON may take six bytes for one, and the rest of a decision wants room, too.
_EVENT_IDS_PER_BATCH_MIN = 8


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
        explored: Those of them in which chance took another strategy than the best.
        held_out: Those about customers who are held out.
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
    explored: int = 0
    held_out: int = 0
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


class Pipeline:
    """Everything that a campaign file compiles to, ready for chunks.

    Args:
        campaign: The campaign file.
        plan: Its compiled features.
        schemas: The registry of the events, None for JSON.

    Attributes:
        limits: What the outgoing topics take; may be set once they are known.
        deciding: What answers questions about events.
        decoder: Of the events.
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
        self.deciding = Deciding(campaign, plan)
        self.decoder = self._codecs.decoder

    def step(
        self,
        chunk: RecordChunk,
        table: CustomerTable,
        deployment: Deployment,
        *,
        silent_until: int,
        now_ms: int,
        contacts: ContactTable | None = None,
        published: Mapping[str, Published] = NOTHING_PUBLISHED,
    ) -> Step:
        """Takes one chunk of an event topic through the whole flow.

        Args:
            chunk: Records of an event topic.
            table: State of the customers of its partition. Changed.
            deployment: The model in force.
            silent_until: Offset before which events change the table and are not decided.
            now_ms: The time, epoch milliseconds.
            contacts: Contacts of the same customers, where rules remember them. Changed.
            published: By event topic, decisions that lie in the decision topic: not made again.
        """
        decoded, refused = self.read(chunk, silent_until=silent_until, now_ms=now_ms)
        batch = decoded.batch
        if len(batch) == 0:
            return refused
        rows = table.rows_for(batch.customer)
        applied = self.apply(chunk.topic, batch, rows, table, deployment)
        carried = carried_rows(batch, rows, table)
        customers = Customers(rows, contacts, now_ms, published.get(chunk.topic), carried)
        question = self.ask(deployment, chunk, decoded, applied, silent_until, customers)
        decisions = self.deciding.answer(deployment.policy, question)
        decided, step = self.decided(
            chunk, decoded, applied, question, decisions, silent_until, refused
        )
        return replace(step, decisions=self.encode(deployment, decided, now_ms))

    def read(self, chunk: RecordChunk, *, silent_until: int, now_ms: int) -> tuple[Decoded, Step]:
        """The events of a chunk, and what came of the records that are none; arguments as for `step`."""
        decoded = self.decoder.decode(chunk, now_ms)
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

    def ask(
        self, deployment: Deployment, chunk: RecordChunk, decoded: Decoded, applied: Applied,
        silent_until: int, customers: Customers | None = None,
    ) -> Question:  # fmt: skip
        """What is asked about the events that ask for a decision; `deciding` answers it."""
        batch = decoded.batch
        loud = batch.offset >= silent_until
        wanted = applied.applied & self.plan.decides[batch.type_code] & loud
        return self.deciding.ask(
            deployment.scorer, deployment.policy, chunk, decoded, applied, wanted,
            self._counted(batch, chunk.topic), loud, customers,
        )  # fmt: skip

    def decided(
        self, chunk: RecordChunk, decoded: Decoded, applied: Applied, question: Question,
        decisions: DecisionBatch, silent_until: int, refused: Step,
    ) -> tuple[Decided, Step]:  # fmt: skip
        """What was decided about a chunk; the step is the one of `read`, filled up."""
        batch, index = decoded.batch, question.index
        unreadable = int((batch.consent == UNREADABLE).any(axis=0).sum())
        words = self.decoder.unreadable(chunk, batch) if unreadable else []
        silent = (
            applied.applied & self.plan.decides[batch.type_code] & (batch.offset < silent_until)
        )
        width = question.allowed.shape[1] + 1
        step = replace(
            refused,
            strategies=np.bincount(decisions.strategy, minlength=width).astype(np.int64),
            decided=len(index),
            explored=int(np.count_nonzero(decisions.explored)),
            held_out=int(np.count_nonzero(decisions.held_out)),
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
        batch = self.decoder.decode(chunk, now_ms).batch
        rows = table.rows_for(batch.customer)
        emptied = emptied_rows(batch, rows, table)
        topic, counted = self.topics[chunk.topic], self._counted(batch, chunk.topic)
        return apply(self.plan, table.state, rows, counted, topic, normalization, emptied)

    def event_times(self, chunk: RecordChunk) -> Int64s:
        """Time of the newest event of each record, -1 for none: by it several topics are caught up with."""
        decode, parts = self.decoder.decode, self.decoder.pieces(chunk)
        return np.concatenate([event_times(one, decode(one, NEVER_MS).batch) for one in parts])

    def _counted(self, batch: EventBatch, topic: str) -> EventBatch:
        """Events with offsets as rows count them: those of a topic begun anew after all before."""
        first = self._first_word.get(topic, 0)
        return replace(batch, offset=batch.offset + first) if first else batch

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
        vectors: list[tuple[str, Float32s | Bytes]] = [*encoder.places(batch, index)]
        if self.campaign.decisions.feature_header:
            vectors.append((FEATURES_HEADER, decided.features))
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
