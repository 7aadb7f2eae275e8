"""`[[budgets]]`: how many contacts there may be in all, or what they may cost, a day or for good."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from stream.campaign.words import Name, Section

if TYPE_CHECKING:
    from stream.campaign.file import Campaign

MILLIONTHS = 1_000_000
"""Amounts are counted in whole millionths."""


class BudgetSpec(Section, frozen=True):
    """One `[[budgets]]` entry: of all customers together. All budgets hold at once.

    Attributes:
        id: Its name. What was spent is kept as long as it stays.
        contacts: Contacts that are allowed.
        money: Or what they may cost in all, by the `cost` of their strategies.
        per: The day, by the campaign's zone, or for good.
        strategies: Strategies whose contacts it pays.
        channels: Channels of such strategies. Neither strategies nor channels: all.
        paced: Of a day: given out evenly over it, not first come, first served.
    """

    id: Name
    contacts: Annotated[int, Meta(ge=1, le=10**12)] | None = None
    money: Annotated[float, Meta(gt=0, le=1e12)] | None = None
    per: Literal["day", "total"] = "day"
    strategies: Annotated[tuple[Name, ...], Meta(max_length=200)] = ()
    channels: Annotated[tuple[str, ...], Meta(max_length=200)] = ()
    paced: bool = False

    @property
    def limit(self) -> int:
        """What there is, in millionths."""
        return round((self.contacts or self.money or 0) * MILLIONTHS)

    @property
    def account(self) -> str:
        """Under which name it is counted: what is in contacts is not in money."""
        return f"{self.id}/{self.per}/{'contacts' if self.contacts else 'money'}"


def wrong_budgets(campaign: Campaign) -> Iterator[str]:
    """What is wrong with the budgets."""
    ids = [strategy.id for strategy in campaign.strategies]
    channels = list(dict.fromkeys(s.channel for s in campaign.strategies if s.channel))
    names = [budget.id for budget in campaign.budgets]
    for i, budget in enumerate(campaign.budgets):
        if budget.id in names[:i]:
            yield f'at budgets[{i}].id: expected each id once, got "{budget.id}" again'
        if (budget.contacts is None) == (budget.money is None):
            both = "neither" if budget.contacts is None else "both"
            yield f'at budgets[{i}]: expected either contacts or money, got {both} in "{budget.id}"'
        if budget.paced and budget.per != "day":
            yield f'at budgets[{i}].paced: expected a budget per = "day", got one per = "total"'
        if campaign.contacts.time_zone is None and budget.per == "day":
            yield (
                "at contacts.time_zone: expected the IANA name of the zone of the campaign, since the days "
                "of budgets are its days, got none"
            )
        for where, said, known in (
            ("strategies", budget.strategies, ids), ("channels", budget.channels, channels),
        ):  # fmt: skip
            for n, name in enumerate(said):
                if name not in known:
                    yield (
                        f"at budgets[{i}].{where}[{n}]: expected one of {', '.join(known)}, got "
                        f'"{name}"'
                    )
