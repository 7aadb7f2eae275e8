"""What workers really decided, from the decision topic in an archive, as the outcome of a policy.

Rules of this file
1. Of a decision that was published more than once the first record counts.
"""

from __future__ import annotations

from stream.decisions.reader import epoch_ms, parse
from stream.policy.decision import NOTHING
from trainer.history.source import OnRecords, Source
from trainer.simulation.policy_outcome import DAY_MS, PolicyOutcome

NAME = "as it was decided"


def decided(source: Source, topic: str, on_records: OnRecords | None = None) -> PolicyOutcome:
    """Counts the decisions of a topic in the CloudEvents form; others are left out."""
    outcome = PolicyOutcome(NAME, worth=None)
    seen: set[int] = set()
    for chunk in source.chunks([topic], on_records):
        for i in range(len(chunk)):
            decision = parse(chunk.value[i] or b"")
            if decision is None or (identity := hash(decision.id)) in seen:
                continue
            seen.add(identity)
            data = decision.data
            outcome.strategies[data.action.strategy] += 1
            outcome.reasons.update(data.reasons)
            outcome.rules.update((drop.code, drop.strategy) for drop in data.dropped)
            outcome.explored += data.explored
            outcome.held_out += data.group == "holdout"
            if data.action.strategy == NOTHING:
                continue
            made_ms = epoch_ms(decision.time)
            if decision.expires is not None and epoch_ms(decision.expires) <= made_ms:
                outcome.expired += 1
            else:
                outcome.contact(decision.customer.encode(), made_ms // DAY_MS)
    return outcome
