"""What one owner of a partition has drawn of the budgets of its campaign, spent of it, and wants.

Rules of this file
1. It spends what the log says that its claim was given, never what it has only asked for.
2. A draw is a small part of what is left, so that little is lost with an owner that crashes, and the rest of
   a budget goes to whoever has customers for it.
3. Nothing is drawn before a contact could not be paid or something was spent: an idle partition holds nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import numpy as np

from stream.campaign.file import Campaign
from stream.columns import Int64s
from stream.compiled.time_zones import time_zone
from stream.contacts.budgets.budget_log import BudgetLog, Draw
from stream.contacts.budgets.spending import Spending, compile_prices

_TOTAL = "total"
_DAY_S = 86_400
_PARTS = 8
"""A draw is the share of a partition in what is left, divided by this."""


class Purse:
    """Of one claim on one partition.

    Args:
        campaign: The campaign file.
        log: The log of draws, which somebody reads.
        claim: Of this owner alone.
        partitions: How many share the budgets.
    """

    def __init__(self, campaign: Campaign, log: BudgetLog, claim: str, partitions: int) -> None:
        self.claim = claim
        self._budgets = campaign.budgets
        self._log = log
        self._partitions = partitions
        self._zone = time_zone(campaign.contacts.time_zone or "UTC")
        self._price = compile_prices(campaign)
        self._spent: dict[tuple[str, str], int] = defaultdict(int)
        self._asked: dict[tuple[str, str], int] = defaultdict(int)
        self._short: set[tuple[str, str]] = set()
        self._open: tuple[list[str], Int64s] | None = None

    def open(self, now_ms: int) -> Spending:
        """What can be spent on decisions of a time, until `close`."""
        periods = [self._period(b, now_ms) for b in range(len(self._budgets))]
        left = np.array([self._left(b, period) for b, period in enumerate(periods)], np.int64)
        self._open = periods, left.copy()
        return Spending(self._price, left, np.zeros(len(left), np.int64))

    def close(self, spending: Spending) -> None:
        """Notes what was spent since `open`."""
        assert self._open is not None, "a purse is opened first"
        periods, before = self._open
        self._open = None
        for b, spent in enumerate((before - spending.left).tolist()):
            at = self._budgets[b].account, periods[b]
            self._spent[at] += spent
            if spending.short[b]:
                self._short.add(at)

    def wishes(self, now_ms: int, events: int = 0) -> Iterator[bytes]:
        """The records to write now: a draw of each budget that is running out and can still give.

        One that was asked for is waited for until the log has it.

        Args:
            now_ms: The time, epoch milliseconds.
            events: So many are about to be decided: more is drawn for them, up to the share of a partition.
        """
        for b, budget in enumerate(self._budgets):
            period = self._period(b, now_ms)
            at = budget.account, period
            if self._asked[at] > self._log.takes(*at, self.claim):
                continue
            limit, price = self._limit(b, now_ms), self._price[b]
            rest = limit - self._log.given(*at)
            least, smallest = int(price.max()), int(price[price > 0].min(initial=2**62))
            share = max(rest // self._partitions, least)
            need, left = min(events * least, share), self._left(b, period)
            size = max(rest // (_PARTS * self._partitions), least, need)
            wants = at in self._short or left < min(size, self._spent[at]) or left < need
            if not wants or rest < smallest:
                continue
            self._short.discard(at)
            self._asked[at] += 1
            draw = Draw(
                account=budget.account, period=period, claim=self.claim, take=size, limit=limit
            )
            yield msgspec.json.encode(draw)

    def waits(self, now_ms: int, events: int) -> bool:
        """Whether so many events may need a draw that the log has not yet answered."""
        for b, budget in enumerate(self._budgets):
            at = budget.account, self._period(b, now_ms)
            is_asked = self._asked[at] > self._log.takes(*at, self.claim)
            if is_asked and self._left(b, at[1]) < events * int(self._price[b].max()):
                return True
        return False

    def returns(self) -> Iterator[bytes]:
        """The records that give back what was not spent; nothing may be spent any more."""
        for (account, period), spent in self._spent.items():
            rest = self._log.of_claim(account, period, self.claim) - spent
            if rest > 0:
                draw = Draw(account=account, period=period, claim=self.claim, give=rest)
                yield msgspec.json.encode(draw)

    def _left(self, b: int, period: str) -> int:
        at = self._budgets[b].account, period
        return self._log.of_claim(*at, self.claim) - self._spent[at]

    def _period(self, b: int, now_ms: int) -> str:
        if self._budgets[b].per == _TOTAL:
            return _TOTAL
        return self._local(now_ms).date().isoformat()

    def _limit(self, b: int, now_ms: int) -> int:
        """What may be given in all until now."""
        budget = self._budgets[b]
        if not budget.paced:
            return budget.limit
        local = self._local(now_ms)
        of_day_s = local.hour * 3600 + local.minute * 60 + local.second
        return budget.limit * min(of_day_s + 1, _DAY_S) // _DAY_S

    def _local(self, now_ms: int) -> datetime:
        return datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(self._zone)
