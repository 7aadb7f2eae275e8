"""What came of a policy over a history: contacts, customers, and how often each rule fired."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stream.columns import Int64s, Spans
from stream.policy.decision import DecisionBatch, Dropped, Reason
from stream.policy.stages import STAGES, stage_of

DAY_MS = 86_400_000


@dataclass(eq=False)
class PolicyOutcome:
    """Counts over the decisions of one policy.

    Attributes:
        name: Of the policy, for people.
        strategies: Decisions by strategy, doing nothing among them.
        rules: How often each code dropped each strategy, by (code, strategy).
        reasons: Decisions by their reason.
        contacts: Contacts of each customer who has any.
        days: Contacts by day, days since 1970.
        explored: Decisions in which chance took another strategy than the best.
        held_out: Decisions about customers who are held out.
        expired: Decisions that had expired when they would have been made: they contact nobody.
        worth: Sum of what contacts are worth to the model, None where nobody says.
    """

    name: str
    strategies: Counter[str] = field(default_factory=Counter)
    rules: Counter[tuple[str, str]] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    contacts: Counter[bytes] = field(default_factory=Counter)
    days: Counter[int] = field(default_factory=Counter)
    explored: int = 0
    held_out: int = 0
    expired: int = 0
    worth: float | None = 0.0

    @property
    def decisions(self) -> int:
        """All decisions."""
        return self.strategies.total()

    def add(
        self, decisions: DecisionBatch, names: tuple[str, ...], customers: Spans, now_ms: Int64s,
        expires_ms: Int64s,
    ) -> None:  # fmt: skip
        """Counts n decisions.

        Args:
            decisions: The decisions.
            names: Of the strategies, "nothing" last.
            customers: Whom each is about.
            now_ms: When each was made, epoch milliseconds. Shape (n,), int64.
            expires_ms: When each expires, likewise.
        """
        for k, count in enumerate(np.bincount(decisions.strategy, minlength=len(names)).tolist()):
            self.strategies[names[k]] += count
        for code, count in enumerate(np.bincount(decisions.reason).tolist()):
            self.reasons[Reason(code).name] += count
        for k, name in enumerate(names[:-1]):
            for code, count in enumerate(np.bincount(decisions.dropped[:, k]).tolist()):
                if count and code != Dropped.CHOSEN:
                    self.rules[Dropped(code).name, name] += count
        live = expires_ms > now_ms
        acts = decisions.strategy < len(names) - 1
        self.explored += int(decisions.explored.sum())
        self.held_out += int((decisions.held_out != 0).sum())
        self.expired += int((acts & ~live).sum())
        contacted = np.flatnonzero(acts & live)
        if self.worth is not None:
            self.worth += float(np.nansum(decisions.expected_value[contacted]))
        for i, day in zip(contacted.tolist(), (now_ms[contacted] // DAY_MS).tolist(), strict=True):
            self.contact(customers[i] or b"", day)

    def contact(self, customer: bytes, day: int) -> None:
        """Counts a contact of a customer on a day."""
        self.contacts[customer] += 1
        self.days[day] += 1

    def figures(self) -> dict[str, Any]:
        """The outcome as plain data."""
        contacts = self.contacts.total()
        return {
            "policy": self.name,
            "decisions": self.decisions,
            "contacts": contacts,
            "customers_contacted": len(self.contacts),
            "contacts_a_customer": round(contacts / len(self.contacts), 3) if contacts else None,
            "contacts_of_one_customer_max": max(self.contacts.values(), default=0),
            "explored": self.explored,
            "held_out": self.held_out,
            "expired": self.expired,
            "worth": None if self.worth is None else round(self.worth, 2),
            "strategies": {n: c for n, c in self.strategies.most_common() if c},
            "reasons": {n: c for n, c in self.reasons.most_common() if c},
            "rules": [
                {"stage": stage_of(Dropped[code]), "code": code, "strategy": name, "dropped": count}
                for (code, name), count in sorted(self.rules.items())
            ],
            "contacts_by_day": {
                str(np.datetime64(day, "D")): count for day, count in sorted(self.days.items())
            },
        }


@dataclass(frozen=True, slots=True)
class Overlap:
    """Customers whom both policies contact, or one alone."""

    both: int
    first_only: int
    second_only: int

    @classmethod
    def of(cls, first: PolicyOutcome, second: PolicyOutcome) -> Overlap:
        """Compares whom they contact."""
        a, b = first.contacts.keys(), second.contacts.keys()
        return cls(len(a & b), len(a - b), len(b - a))


def codes_of(*outcomes: PolicyOutcome) -> list[str]:
    """The codes that fired in any of them, in the order of the stages."""
    fired = {code for outcome in outcomes for code, _ in outcome.rules}
    order = [code.name for code in Dropped]
    return sorted(fired, key=lambda code: (_stage_index(code), order.index(code)))


def _stage_index(code: str) -> int:
    return [stage.name for stage in STAGES].index(stage_of(Dropped[code]))
