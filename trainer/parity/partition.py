"""One partition: its decisions beside the replay of its events.

Decisions are joined to events by topic and offset. What differs is kept until all events have been
replayed, because some causes show only then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from stream.campaign.file import Campaign
from stream.codecs import event_decoder
from stream.columns import Bools, Float32s, Float64s, Int64s, RecordChunk
from stream.events.decoder import NEVER_MS
from stream.features.normalization import normalize
from stream.features.plan import FeaturePlan, apply_raw
from stream.record_order import NOT_SEEN_MS, event_times, seen
from stream.schemas.registry import registry_of
from stream.state.emptied import emptied_rows
from stream.state.table import CustomerTable
from trainer.history.gaps import Gap
from trainer.parity import explain
from trainer.parity.bundles import Bundles
from trainer.parity.causes import Cause
from trainer.parity.compare import Measured, differs
from trainer.parity.explain import COMPARABLE, Holds
from trainer.parity.findings import Findings
from trainer.parity.links import Links
from trainer.parity.logged import Logged, LoggedReader, Scope
from trainer.parity.order import OrderCheck
from trainer.parity.result import Where
from trainer.replay.replay_order import Run, in_order


@dataclass(frozen=True, slots=True)
class Subject:
    """What all partitions have in common.

    Attributes:
        campaign: The campaign file.
        plan: Its compiled features.
        bundles: The models.
        scope: What is asked about.
        show_customers: Whether findings name the customer.
    """

    campaign: Campaign
    plan: FeaturePlan
    bundles: Bundles
    scope: Scope
    show_customers: bool = False


def compare_partition(
    subject: Subject,
    holds: Holds,
    decisions: Iterable[RecordChunk],
    events: Sequence[Iterator[RecordChunk]],
    findings: Findings,
) -> None:
    """Compares one partition.

    Args:
        subject: What is compared.
        holds: Where the topics begin and end.
        decisions: The chunks of the decision topic, in the order of offsets.
        events: The same of each event topic, in the order of the campaign file; read after them.
        findings: Receives what is found.
    """
    plan, scope = subject.plan, subject.scope
    table = CustomerTable(plan.row_words)
    topics = {name: i for i, name in enumerate(subject.campaign.topics.events)}
    logged = LoggedReader(topics, len(plan.names), subject.bundles.codes, scope, table)
    for chunk in decisions:
        logged.add(chunk)
    partition = _Partition(subject, holds, logged.finish(), table, findings)
    partition.replay(events)
    partition.conclude()


@dataclass(eq=False)
class _Partition:
    """The decisions of a partition, and what has become of them so far."""

    subject: Subject
    holds: Holds
    logged: Logged
    table: CustomerTable
    findings: Findings

    def __post_init__(self) -> None:
        subject, holds, logged = self.subject, self.holds, self.logged
        self._decoder = event_decoder(
            subject.campaign, subject.plan, registry_of(subject.campaign.events)
        )
        self._about = [logged.about(topic, holds.partition) for topic in range(len(holds.events))]
        self._links = Links(OrderCheck(logged, self._about, _bounds(subject.campaign, holds)))
        self._cause = explain.before_replay(logged, holds, subject.bundles)
        self._found = np.zeros(len(logged), np.bool_)
        self._repeated = np.zeros(len(logged), np.bool_)
        self._compared = np.zeros(len(logged), np.bool_)
        self._has_gaps = False
        self._refused: list[list[int]] = [[] for _ in holds.events]
        self._different: list[tuple[Int64s, Float32s]] = []
        self._has_events = [np.unique(logged.row)]

    def replay(self, events: Sequence[Iterator[RecordChunk]]) -> None:
        """Replays the events of each topic and compares what was logged after each."""
        plan, table = self.subject.plan, self.table
        for run in in_order([self._runs(topic, chunks) for topic, chunks in enumerate(events)]):
            self._links.follow(run, table.rows)
            values = np.empty((len(run.row), len(plan.names)))
            applied = apply_raw(
                plan, table.state, run.row, run.batch, run.topic, values, run.emptied
            )
            event, entry = self._joined(run)
            self._found[entry] = True
            self._repeated[entry] = ~applied[event]
            self._compare(values, event[applied[event]], entry[applied[event]])
            self._count_undecided(run, event, applied)
            self.findings.counts["events"] += int((~run.batch.consent_only).sum())
            self._has_events.append(np.unique(run.row))

    def _runs(self, topic: int, chunks: Iterator[RecordChunk]) -> Iterator[Run]:
        """The events of a topic, of all times, since all change the state of their customers."""
        reached_ms = NOT_SEEN_MS
        for chunk in chunks:
            self._has_gaps |= isinstance(
                chunk, Gap
            )  # events are missing in the middle of the topic
            if len(chunk) == 0:
                continue
            self.findings.keys.add(chunk)
            decoded = self._decoder.decode(chunk, NEVER_MS)
            seen_ms = seen(event_times(chunk, decoded.batch), reached_ms)
            reached_ms = int(seen_ms[-1])
            batch, rejects = decoded.batch.history(), decoded.rejects
            refused = [one.record for one in rejects if one.code == "absurd_timestamp"]
            self._refused[topic] += chunk.offset[refused].tolist()  # the worker may have taken them
            if not self.subject.plan.layout.emptied_by:  # else others may be carried over to them
                batch = batch.take(np.flatnonzero(self.subject.scope.has_customers(batch.customer)))
            rows = self.table.rows_for(batch.customer)
            emptied = emptied_rows(batch, rows, self.table)
            yield Run(topic, rows, batch, seen_ms[batch.record], emptied)

    def _joined(self, run: Run) -> tuple[Int64s, Int64s]:
        """Events of a run and decisions about them, pair by pair. Shape (pairs,) each, int64."""
        about = self._about[run.topic]
        known, offset = self.logged.offset[about], run.batch.offset
        first = np.searchsorted(known, offset)
        count = np.searchsorted(known, offset, side="right") - first
        event = np.repeat(np.arange(len(offset)), count)
        nth = np.arange(len(event)) - np.repeat(np.cumsum(count) - count, count)
        return event, about[first[event] + nth]

    def _compare(self, values: Float64s, event: Int64s, entry: Int64s) -> None:
        comparable = self.logged.asked[entry] & (self._cause[entry] == COMPARABLE)
        event, entry = event[comparable], entry[comparable]
        self._compared[entry] = True
        for model in np.unique(self.logged.model[entry]).tolist():
            mine = self.logged.model[entry] == model
            replayed = self._normalized(values[event[mine]], model)
            logged = self._vectors(entry[mine])
            self.findings.measured += Measured.of(logged, replayed)
            different = differs(logged, replayed).any(axis=1)
            if different.any():
                self._different.append((entry[mine][different], replayed[different]))

    def _normalized(self, values: Float64s, model: int) -> Float32s:
        """What `stream.features.plan.apply` makes of features with the constants of a model."""
        constants = self.subject.bundles.normalization(model)
        out = np.empty(values.shape, np.float32)
        normalize(
            values, np.ones(len(values), np.bool_), self.subject.plan.transform_codes,
            constants.mean, constants.std, constants.clip, out,
        )  # fmt: skip
        return out

    def _vectors(self, entry: Int64s) -> Float32s:
        vectors: Float32s = self.logged.vectors[self.logged.vector[entry]]
        return vectors

    def _count_undecided(self, run: Run, decided: Int64s, applied: Bools) -> None:
        """Counts events that ask for a decision and have none; a repeated one asks for none."""
        batch, findings = run.batch, self.findings
        alone = applied & self.subject.plan.decides[batch.type_code]
        alone &= self.subject.scope.has_times(batch.time_ms)
        if self.subject.plan.layout.emptied_by:
            alone &= self.subject.scope.has_customers(self.table.key_spans(run.row))
        alone[decided] = False
        known = self.logged.offset[self._about[run.topic]]
        known = known[known < self.holds.events[run.topic].end]
        first, last = (known[0], known[-1]) if len(known) else (0, -1)
        yet = alone & (batch.offset > last)
        findings.counts["undecided_yet"] += int(yet.sum())
        removed = alone & (batch.offset < first) & (self.holds.decisions.begin > 0)
        for cause, which in (
            (Cause.DECISION_REMOVED, removed),
            (Cause.NO_DECISION, alone & ~yet & ~removed),
        ):
            if which.any():
                i = int(np.argmax(which))
                name = self.subject.campaign.topics.events[run.topic]
                where = self._where(name, int(batch.offset[i]), int(run.row[i]))
                findings.add(cause, int(which.sum()), where)

    def conclude(self) -> None:
        """Says of everything that differs, or has no counterpart, why."""
        logged, findings = self.logged, self.findings
        lost = explain.without_event(logged, self.holds, self._found, self._refused)
        lost[self._repeated] = Cause.EVENT_REPEATED
        self._explain_differences(lost)
        self._cause = np.where(self._cause == COMPARABLE, lost, self._cause)
        for code in np.unique(self._cause[logged.asked]).tolist():
            if code != COMPARABLE:
                which = np.flatnonzero(logged.asked & (self._cause == code))
                findings.add(Cause(code), len(which), self._where_of(which, 0))
        self._count_repeats()
        if len(logged.unreadable):
            topic, offset = self.subject.campaign.topics.decisions, int(logged.unreadable[0])
            where = Where(topic, self.holds.partition, offset, None)
            findings.add(Cause.UNREADABLE, len(logged.unreadable), where)
        findings.counts["decisions"] += int(logged.asked.sum())
        known = np.unique(np.concatenate(self._has_events))
        known = known[self.subject.scope.has_customers(self.table.key_spans(known))]
        findings.customers.append(self.table.hashes[known])
        for model, count in enumerate(np.bincount(logged.model[logged.asked]).tolist()):
            if count:
                findings.models[self.subject.bundles.name(model)] += count

    def _explain_differences(self, lost: Int64s) -> None:
        group = self._links.groups(self.table.rows)
        row = group[self.logged.row]
        cause = explain.by_customer(
            replace(self.logged, row=row), self.holds, lost, self._links.doubtful(group),
            all_decide=bool(self.subject.plan.decides.all()), has_gaps=self._has_gaps,
        )  # fmt: skip
        conclusive = self._compared.copy()
        for entry, replayed in self._different:
            conclusive[entry] = cause[row[entry]] < Cause.HISTORY_CUT
            self.findings.add_differences(
                self._vectors(entry),
                replayed,
                cause[row[entry]],
                partial(self._where_of, entry),
            )
        counts = self.findings.counts
        counts["conclusive"] += int(conclusive.sum())
        counts["conclusive_customers"] += len(np.unique(self.logged.row[conclusive]))
        counts["compared_customers"] += len(np.unique(self.logged.row[self._compared]))

    def _count_repeats(self) -> None:
        """Whoever repeats a decision has to say the same."""
        logged = self.logged
        again, before = explain.repeats(logged)
        self.findings.counts["repeated"] += int(logged.asked[again].sum())
        both = (logged.vector[again] >= 0) & (logged.vector[before] >= 0)
        both &= logged.model[again] == logged.model[before]
        again, before = again[both], before[both]
        different = differs(self._vectors(again), self._vectors(before)).any(axis=1)
        if different.any():
            where = self._where_of(again, int(np.argmax(different)))
            self.findings.add(Cause.REPEAT_DIFFERS, int(different.sum()), where)

    def _where_of(self, entry: Int64s, i: int) -> Where:
        """The event of decision entry[i]."""
        logged, one = self.logged, int(entry[i])
        topic, offset, row = (int(a[one]) for a in (logged.topic, logged.offset, logged.row))
        if topic < 0:  # the name was not kept; the decision itself says it
            decisions = self.subject.campaign.topics.decisions
            return self._where(decisions, int(logged.record[one]), row)
        names = self.subject.campaign.topics.events
        return self._where(names[topic], offset, row, int(logged.partition[one]))

    def _where(self, topic: str, offset: int, row: int, partition: int | None = None) -> Where:
        number = self.holds.partition if partition is None else partition
        if not self.subject.show_customers:
            return Where(topic, number, offset, None)
        return Where(topic, number, offset, self.table.key(row).decode(errors="replace"))


def _bounds(campaign: Campaign, holds: Holds) -> list[Int64s]:
    """By event topic, of each stretch that was caught up with the offsets. Shape (k, 2) each, int64."""
    return [
        np.array(
            [(one.start.get(topic, 0), one.end.get(topic, 0)) for one in holds.caught_up], np.int64
        ).reshape(-1, 2)
        for topic in campaign.topics.events
    ]
