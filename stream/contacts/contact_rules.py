"""The rules of a campaign about contacts, compiled to what the kernels read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numba
import numpy as np

from stream.campaign.file import Campaign
from stream.campaign.sections.contact_sections import ExclusiveSpec
from stream.campaign.words import duration_ms
from stream.columns import Int64s
from stream.compiled.borrow import borrow
from stream.contacts.contact_layout import (
    ContactLayout,
    cap_names,
    cap_slot,
    is_of,
    last_cell,
    spare_times,
)

LAST, OPEN, PAUSE, OBEYS, COOL_DOWN_S, CONVERTED_S, COMPLAINED_S = range(7)
"""Columns of `ContactRules.strategy`: the cells of a strategy, -1 for none; whether rules stop it; the
spans after a contact, a conversion and a complaint, 0 for none. `LAST` is the last contact; the ones
before, as many as `spare`, are in the cells before."""
CELL, CONTACTS, WITHIN_S, UNIT, ZONED = range(5)
"""Columns of `ContactRules.limit`: its first cell; contacts that it allows; length of the rolling
window, 0 for a calendar one; its unit; whether the customer's zone counts."""
DAY, WEEK, MONTH = range(3)
"""Units of calendar windows."""
OTHER, APART_S = range(2)
"""Columns of `ContactRules.apart`: another strategy, and for how long after its contact to wait."""

_UNITS = {"day": DAY, "week": WEEK, "month": MONTH}


class ContactRules(NamedTuple):
    """What the kernels read. S strategies; of a limit there is one for each name of a cap's scope.

    Attributes:
        strategy: See the columns above. Shape (S, 7), int64.
        limit: See the columns above. Shape (limits, 5), int64.
        obeyed: The limits that strategies obey, those of one strategy together. Shape (o,), int64.
        obeyed_start: Where those of each strategy begin in `obeyed`. Shape (S + 1,), int64.
        counted: The limits that contacts count in, likewise. Shape (c,), int64.
        counted_start: Shape (S + 1,), int64.
        apart: Who excludes whom, likewise. Shape (a, 2), int64.
        apart_start: Shape (S + 1,), int64.
        zone_cell: First cell of the zone, -1 for none.
        sent_cell: First cell of the bits of what was sent, -1 for none.
        returned_cell: Of the bits of what was given back, -1 for none.
        correct_s: How long after a contact an event can be about it, seconds.
        spare: Times that are remembered beyond those that rules ask for, so that a contact can be given
            back: 1, or 0 where nothing gives any back.
    """

    strategy: Int64s
    limit: Int64s
    obeyed: Int64s
    obeyed_start: Int64s
    counted: Int64s
    counted_start: Int64s
    apart: Int64s
    apart_start: Int64s
    zone_cell: int
    sent_cell: int
    returned_cell: int
    correct_s: int
    spare: int


def compile_contacts(campaign: Campaign, layout: ContactLayout) -> ContactRules:
    """The rules of a campaign over rows of its layout."""
    limits, members = _limits(campaign, layout)
    strategies = campaign.strategies
    counted = [
        [i for i, names in enumerate(members) if strategy.counts and k in names]
        for k, strategy in enumerate(strategies)
    ]
    obeyed = [
        [i for i, names in enumerate(members) if strategy.obeys_caps and k in names]
        for k, strategy in enumerate(strategies)
    ]
    apart = [_apart(campaign, k) for k in range(len(strategies))]
    rows = [
        [
            last_cell(layout, one.id), layout.cell(f"open:{one.id}"),
            layout.cell(f"pause:{one.id}"), one.obeys_caps, _seconds(one.cool_down),
            _seconds(one.cool_down_converted), _seconds(one.cool_down_complained),
        ]
        for one in strategies
    ]  # fmt: skip
    return ContactRules(
        np.array(rows, np.int64).reshape(-1, COMPLAINED_S + 1),
        np.array(limits, np.int64).reshape(-1, ZONED + 1),
        *_packed(obeyed),
        *_packed(counted),
        np.array([pair for pairs in apart for pair in pairs], np.int64).reshape(-1, APART_S + 1),
        _packed(apart)[1],
        layout.cell("zone"),
        layout.cell("sent"),
        layout.cell("returned"),
        _seconds(campaign.contacts.correct_within),
        spare_times(campaign),
    )


def _limits(campaign: Campaign, layout: ContactLayout) -> tuple[list[list[int]], list[set[int]]]:
    """The limits, and which strategies each is about."""
    limits, members = [], []
    for cap in campaign.caps:
        for name in cap_names(campaign, cap):
            unit = _UNITS[cap.per] if cap.per else -1
            cell = layout.cell(cap_slot(cap, name))
            limits.append([cell, cap.contacts, _seconds(cap.within), unit, cap.zone == "customer"])
            members.append(
                {k for k, one in enumerate(campaign.strategies) if is_of(cap, name, one)}
            )
    return limits, members


def _apart(campaign: Campaign, k: int) -> list[tuple[int, int]]:
    """The strategies whose contacts keep strategy k away, and for how many seconds."""
    strategies = campaign.strategies
    if not strategies[k].obeys_caps:
        return []
    found: dict[int, int] = {}
    for exclusive in campaign.exclusive:
        mine = _sides(campaign, exclusive, k)
        for j, other in enumerate(strategies):
            theirs = _sides(campaign, exclusive, j)
            if other.counts and mine and theirs and mine != theirs:
                found[j] = max(found.get(j, 0), _seconds(exclusive.within))
    return sorted(found.items())


def _sides(campaign: Campaign, exclusive: ExclusiveSpec, k: int) -> set[str]:
    """The members of an exclusive entry that strategy k belongs to."""
    strategy = campaign.strategies[k]
    return {name for name in (strategy.id, strategy.group) if name in exclusive.members}


def _seconds(duration: str | None) -> int:
    return duration_ms(duration) // 1000 if duration else 0


def _packed(lists: Sequence[Iterable[object]]) -> tuple[Int64s, Int64s]:
    """Lists one after the other, and where each begins; of pairs the beginnings alone are of use."""
    sizes = [len(list(one)) for one in lists]
    flat = [i for one in lists for i in one if isinstance(i, int)]
    return np.array(flat, np.int64), np.cumsum([0, *sizes]).astype(np.int64)


@numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def borrow_contacts(rules: ContactRules) -> ContactRules:
    """The same, for use inside one kernel."""
    return ContactRules(
        borrow(rules.strategy), borrow(rules.limit), borrow(rules.obeyed),
        borrow(rules.obeyed_start), borrow(rules.counted), borrow(rules.counted_start),
        borrow(rules.apart), borrow(rules.apart_start),
        rules.zone_cell, rules.sent_cell, rules.returned_cell, rules.correct_s, rules.spare,
    )  # fmt: skip
