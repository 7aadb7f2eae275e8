"""The log of draws: who was given how much of which budget, as all who read it find alike.

Partitions of one campaign are decided by several workers, and all spend of one budget. Each draws small
amounts before it spends them, by a record of one topic partition. What a draw gives follows from the log
alone: as much as was asked for, but no more than its limit less all that was given before it. So the log is
the allocator: whoever reads it finds the same, and what was given never exceeds the limit, whoever
writes, however late, however often.

Rules of this file
1. A draw belongs to a claim: one owner of a partition, from its beginning to its end. Nobody spends what
   another claim was given, so that an owner that has lost its partition unawares spends its own and no more.
2. What was given is taken for spent. A claim that ends in order gives back what it did not spend, as its
   last record; one that crashed does not: its rest, a small amount, is lost.
3. A record that cannot be read gives nothing.
"""

from __future__ import annotations

from collections import defaultdict

import msgspec
from msgspec import Struct

PERIODS_KEPT = 3
"""So many periods of a budget are remembered: clocks of workers differ, but not by days."""


class Draw(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A record of the log; amounts in millionths.

    Attributes:
        account: Of which budget: `BudgetSpec.account`.
        period: Its day, "2026-11-30", or "total".
        claim: Who draws.
        take: How much is asked for.
        limit: What may be given in all of the period so far: of a paced budget less than its whole.
        give: How much is given back; the claim has ended.
    """

    account: str
    period: str
    claim: str
    take: int = 0
    limit: int = 0
    give: int = 0


_decoder = msgspec.json.Decoder(Draw)
_Period = tuple[str, str]


class BudgetLog:
    """What the log says, record by record.

    Attributes:
        unreadable: Records that give nothing.
    """

    def __init__(self) -> None:
        self.unreadable = 0
        self._given: dict[_Period, int] = {}
        self._claims: dict[_Period, dict[str, int]] = defaultdict(dict)
        self._takes: dict[tuple[str, str, str], int] = defaultdict(int)
        self._ended: dict[_Period, set[str]] = defaultdict(set)

    def read(self, value: bytes | None) -> None:
        """Takes the next record."""
        try:
            draw = _decoder.decode(value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.unreadable += 1
            return
        at, claim = (draw.account, draw.period), draw.claim
        given, own = self._given.get(at, 0), self._claims[at].get(claim, 0)
        if draw.give > 0:
            if claim not in self._ended[at]:
                back = min(draw.give, own)
                self._given[at], self._claims[at][claim] = given - back, own - back
            self._ended[at].add(claim)
        elif claim not in self._ended[at]:
            got = max(0, min(draw.take, draw.limit - given))
            self._given[at], self._claims[at][claim] = given + got, own + got
            self._takes[(*at, claim)] += 1
        self._forget(draw.account)

    def given(self, account: str, period: str) -> int:
        """What all claims were given, less what they gave back."""
        return self._given.get((account, period), 0)

    def of_claim(self, account: str, period: str, claim: str) -> int:
        """What a claim was given."""
        return self._claims[account, period].get(claim, 0)

    def takes(self, account: str, period: str, claim: str) -> int:
        """How many draws of a claim the log has."""
        return self._takes.get((account, period, claim), 0)

    def _forget(self, account: str) -> None:
        """Forgets periods that nobody draws of any more."""
        periods = sorted(period for name, period in self._given if name == account)
        for period in periods[:-PERIODS_KEPT]:
            for kept in (self._given, self._claims, self._ended):
                kept.pop((account, period), None)
            for key in [key for key in self._takes if key[:2] == (account, period)]:
                del self._takes[key]
