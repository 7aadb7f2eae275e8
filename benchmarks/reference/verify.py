"""The referee: recomputes every decision of the reference job in float64 and compares.

Rules of this file
1. Nothing of the worker is imported: the state, the features and the choice are written down here
   once more, from the definition of the job.
2. The events are those read back from the broker, so that partition and order are what the worker
   saw.
3. A customer's events come in the order of their times: the job has no late ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.reference.input import EVENT_TYPES, Int64s
from benchmarks.reference.model import Float64s, ReferenceModel
from benchmarks.reference.read import Decisions, Events

AGREE_MIN = 0.999
"""Least share of equal strategies: float32 may turn the few that are as good as level."""
SCORE_ERROR_MAX = 1e-4
"""Largest error of a score, absolute: float32 and six decimals make about 1e-5."""

_HALF_LIVES_S = np.array([3_600.0, 86_400.0, 604_800.0, 2_592_000.0])
_RECENCY_MAX_S = 90 * 86_400.0
_KINDS = len(EVENT_TYPES)
_PURCHASE = EVENT_TYPES.index("purchase")


@dataclass(frozen=True)
class Verdict:
    """What the referee found.

    Attributes:
        events: Events that each ask for one decision.
        decisions: Decisions on the topic.
        agree: Share of the events whose decision has the strategy of the recomputation.
        missing: Events without a decision.
        duplicates: Decisions beyond the first about an event.
        unknown: Decisions about no event of the input.
        wrong_partition: Decisions in another partition than their event.
        wrong_customer: Decisions for another customer than that of their event.
        max_score_error: Over the decisions that agree, absolute; NaN when none does.
    """

    events: int
    decisions: int
    agree: float
    missing: int
    duplicates: int
    unknown: int
    wrong_partition: int
    wrong_customer: int
    max_score_error: float

    @property
    def clean(self) -> bool:
        """Whether the decisions are those that the job asks for, each once."""
        faults = (self.missing, self.duplicates, self.unknown,
                  self.wrong_partition, self.wrong_customer)  # fmt: skip
        return (
            not any(faults) and self.agree >= AGREE_MIN and self.max_score_error <= SCORE_ERROR_MAX
        )


@dataclass(frozen=True, eq=False)
class Expected:
    """The right decisions.

    Attributes:
        strategy: Shape (n,), int64.
        score: Its share. Shape (n,), float64.
    """

    strategy: Int64s
    score: Float64s


def decide(events: Events, model: ReferenceModel) -> Expected:
    """Recomputes the decision about every event.

    All customers take a step at once: round r handles event r of every customer that has so many,
    so there are as many rounds as the busiest customer has events.
    """
    customer = pd.factorize(np.array(events.customer, dtype=object))[0].astype(np.int64)
    customers = int(customer.max(initial=-1)) + 1
    clock_s = np.zeros(customers)
    totals = np.zeros((customers, _KINDS + 1, len(_HALF_LIVES_S)))  # six counts and the spend
    last_s = np.zeros((customers, _KINDS))
    strategy, score = np.empty(len(events), np.int64), np.empty(len(events))
    for i in _rounds(customer):
        who, now_s, kind = customer[i], events.time_s[i], events.kind[i]
        each = np.arange(len(i))
        passed_s = now_s - clock_s[who]
        total = totals[who] * np.exp2(-passed_s[:, None, None] / _HALF_LIVES_S)
        total[each, kind] += 1
        total[:, _KINDS] += np.where(kind == _PURCHASE, events.value[i], 0)[:, None]
        totals[who] = total
        last_s[who, kind] = now_s
        clock_s[who] = now_s
        shares = model.forward(model.normalize(_features(total, last_s[who], now_s)))
        strategy[i] = shares.argmax(axis=1)
        score[i] = shares[each, strategy[i]]
    return Expected(strategy, score)


def compare(events: Events, expected: Expected, decisions: Decisions) -> Verdict:
    """Holds the decisions against the right ones; of several about one event the last counts."""
    about = pd.Index(events.id).get_indexer(decisions.event)
    known = np.flatnonzero(about >= 0)
    last = np.full(len(events), -1)
    last[about[known]] = known
    decided = np.flatnonzero(last >= 0)
    got = last[decided]
    right = decisions.strategy[got] == expected.strategy[decided]
    error = np.abs(decisions.score[got] - expected.score[decided])[right]
    customers = np.array(events.customer, dtype=object)
    wrong_customer = np.array(decisions.customer, dtype=object)[known] != customers[about[known]]
    return Verdict(
        events=len(events),
        decisions=len(decisions),
        agree=float(right.sum()) / len(events),
        missing=len(events) - len(decided),
        duplicates=len(known) - len(decided),
        unknown=len(decisions) - len(known),
        wrong_partition=int((decisions.partition[known] != events.partition[about[known]]).sum()),
        wrong_customer=int(wrong_customer.sum()),
        max_score_error=float(error.max()) if len(error) else math.nan,
    )


def _rounds(customer: Int64s) -> Iterator[Int64s]:
    """Indices of the first event of every customer, of the second, and so on."""
    by_customer = np.argsort(customer, kind="stable")
    first = np.cumsum(np.bincount(customer)) - np.bincount(customer)
    rank = np.empty(len(customer), np.int64)
    rank[by_customer] = np.arange(len(customer)) - first[customer[by_customer]]
    by_rank = np.argsort(rank, kind="stable")
    yield from np.split(by_rank, np.cumsum(np.bincount(rank))[:-1])


def _features(total: Float64s, last_s: Float64s, now_s: Float64s) -> Float64s:
    """The 36 features, not normalized. total (n, 7, 4), last_s (n, 6), now_s (n,)."""
    # An event that never came has 0 for its time, which is longer ago than the bound.
    since_s = np.minimum(now_s[:, None] - last_s, _RECENCY_MAX_S)
    turn = 2 * np.pi * (now_s / 3600 % 24) / 24
    return np.column_stack(
        [
            np.log1p(total.reshape(len(total), -1)),
            np.log1p(since_s),
            np.sin(turn),
            np.cos(turn),
        ]
    )
