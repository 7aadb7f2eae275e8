"""One campaign over a history, with the worker's own code: every event decided when it came.

Rules of this file
1. Nothing is decided otherwise than by a worker that keeps up: features, rules and chance are its own. The
   time of a decision is the timestamp of its record; those of one second share the first of them.
2. The model is given: a history may be older than it, and its promises are not what this is about.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from stream.campaign.file import Campaign
from stream.campaign.words import duration_ms
from stream.columns import Int64s, RecordChunk
from stream.contacts.contact_layout import lay_out_contacts
from stream.contacts.contact_table import ContactTable
from stream.deciding import Customers
from stream.features.plan import compile_features
from stream.pipeline import Deployment, Pipeline
from stream.policy.decision import DecisionBatch
from stream.schemas.registry import registry_of
from stream.state.table import CustomerTable
from trainer.errors import TrainingError
from trainer.simulation.policy_outcome import PolicyOutcome


class Rehearsal:
    """Decides about a history.

    Args:
        campaign: The campaign file.
        deployment: The model, and the policy of the campaign over its outputs.
        name: Of the policy, for people.

    Attributes:
        outcome: What came of it so far.

    Raises:
        TrainingError: The model eats other features.
    """

    def __init__(self, campaign: Campaign, deployment: Deployment, name: str) -> None:
        plan = compile_features(campaign)
        eaten = deployment.scorer.contract_digest
        if eaten != plan.contract.digest:
            raise TrainingError(
                f"expected a model for feature contract {plan.contract.digest}, which the campaign file "
                f"{name} declares, got {deployment.scorer.version} for {eaten}. Name another with "
                "--model, or train one"
            )
        self._pipeline = Pipeline(campaign, plan, registry_of(campaign.events))
        self._deployment = deployment
        self._layout = lay_out_contacts(campaign)
        self._row_words = plan.row_words
        self._expires_after_ms = duration_ms(campaign.decisions.expires_after)
        self._begin(-1)
        self.outcome = PolicyOutcome(name)

    def _begin(self, partition: int) -> None:
        self._partition = partition
        self._table = CustomerTable(self._row_words)
        self._contacts = ContactTable(self._layout)

    def take(self, chunk: RecordChunk) -> None:
        """Decides about the records of a chunk; those of a partition come one after the other."""
        if chunk.partition != self._partition:
            self._begin(chunk.partition)
        pipeline, deployment = self._pipeline, self._deployment
        newest_ms = int(chunk.timestamp_ms.max())
        decoded, _ = pipeline.read(chunk, silent_until=0, now_ms=newest_ms)
        batch = decoded.batch
        if len(batch) == 0:
            return
        rows = self._table.rows_for(batch.customer)
        applied = pipeline.apply(chunk.topic, batch, rows, self._table, deployment)
        customers = Customers(rows, self._contacts, newest_ms)
        question = pipeline.ask(deployment, chunk, decoded, applied, 0, customers)
        policy, deciding = deployment.policy, pipeline.deciding
        if question.contacts is None:  # no rule asks what time it is
            decisions, now_ms = deciding.answer(policy, question), batch.received_ms[question.index]
        else:
            parts, times = [], []
            for events in seconds(batch.received_ms):
                asked, place = question.part(events)
                first_ms = int(batch.received_ms[events[0]])
                parts.append(deciding.answer(policy, replace(asked, now_ms=first_ms)))
                times.append(np.full(len(place), first_ms))
            decisions, now_ms = DecisionBatch.joined(parts), np.concatenate(times)
        self.outcome.add(
            decisions, policy.strategies, batch.customer.take(question.index), now_ms,
            batch.time_ms[question.index] + self._expires_after_ms,
        )  # fmt: skip


def seconds(time_ms: Int64s) -> Iterator[Int64s]:
    """Indices of events in a row whose times are in one second. Shape (m,), int64 each."""
    second = time_ms // 1000
    cuts = np.flatnonzero(np.diff(second)) + 1
    yield from np.split(np.arange(len(time_ms)), cuts)
