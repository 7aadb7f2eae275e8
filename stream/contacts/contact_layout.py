"""Where the cells of a contact row stand, and which cells of an earlier layout mean the same.

A contact row is one 8-byte word for each event topic, the next offset, and then cells of 4 bytes:

    last:S          the last contact of strategy S, and before it the one before where it can be given back
    open:S          until when its last decision is open
    pause:S         until when conversions and complaints keep it away
    cap:C/N/...     as many times as a rolling window allows contacts, one more where they can be given
                    back; or one calendar period with its counts
    home            hash of the name of the customer's time zone
    zone            the zone in which contacts are counted, and until when it may have been another
    sent, returned  a bit for each strategy: its last contact was sent, was given back

Times are epoch seconds; 0 is never. Which of these there are follows from the campaign file.

Rules of this file
1. A slot is named by what it counts. Under one name cells mean the same in every layout, whatever the
   length of a window, the number of contacts, or the place in the row.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from stream.campaign.file import Campaign, StrategySpec
from stream.campaign.sections.contact_sections import CapSpec, scope_names

VERSION = 1
CELL_BYTES, OFFSET_BYTES = 4, 8
_BITS = 32
SlotKind = Literal["times", "until", "period", "zone", "home", "bits"]


class Slot(msgspec.Struct, frozen=True):
    """Cells that mean something together.

    Attributes:
        name: Of what they count.
        kind: What they hold.
        cell: The first.
        size: How many.
        of: For bits, the strategy of each; for a cap, the strategies that count in it.
    """

    name: str
    kind: SlotKind
    cell: int
    size: int
    of: tuple[str, ...] = ()


class LayoutRecord(msgspec.Struct, frozen=True):
    """A layout as the changelog tells it to those who come later."""

    version: int
    topics: tuple[str, ...]
    slots: tuple[Slot, ...]
    time_zone: str = ""


@dataclass(frozen=True)
class ContactLayout:
    """A contact row.

    Attributes:
        topics: Event topics, in the order of their next offsets.
        slots: In the order of their cells.
        time_zone: Of the calendar windows of the campaign.
    """

    topics: tuple[str, ...]
    slots: tuple[Slot, ...]
    time_zone: str = ""

    @functools.cached_property
    def cells(self) -> int:
        """Cells of a row."""
        return sum(slot.size for slot in self.slots)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return OFFSET_BYTES * len(self.topics) + CELL_BYTES * self.cells

    @functools.cached_property
    def by_name(self) -> dict[str, Slot]:
        """The slots by their names."""
        return {slot.name: slot for slot in self.slots}

    def cell(self, name: str) -> int:
        """First cell of a slot, -1 when there is none of that name."""
        slot = self.by_name.get(name)
        return -1 if slot is None else slot.cell

    @functools.cached_property
    def record(self) -> bytes:
        """The layout as JSON: `layout_of` reads it."""
        return msgspec.json.encode(LayoutRecord(VERSION, self.topics, self.slots, self.time_zone))

    @functools.cached_property
    def digest(self) -> str:
        """12 hex digits that stand for the meaning of every cell."""
        return hashlib.sha256(self.record).hexdigest()[:12]


def layout_of(record: bytes) -> ContactLayout:
    """The layout that a record tells.

    Raises:
        ValueError: It is none of this version.
    """
    try:
        told = msgspec.json.decode(record, type=LayoutRecord)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise ValueError(f"expected a layout of contact rows, {exc}") from exc
    if told.version != VERSION:
        raise ValueError(f"expected version {VERSION} of a layout, got {told.version}")
    ends = 0
    for slot in told.slots:
        if slot.cell != ends or slot.size < 1:
            raise ValueError(f"expected slots one after the other, got {slot.name} at {slot.cell}")
        ends += slot.size
    return ContactLayout(told.topics, told.slots, told.time_zone)


def lay_out_contacts(campaign: Campaign) -> ContactLayout:
    """The layout that a campaign needs: without cells when no rule looks at contacts."""
    slots: list[Slot] = []
    at = 0
    if remembers(campaign):
        for name, kind, size, of in _wanted(campaign):
            slots.append(Slot(name, kind, at, size, of))
            at += size
    zone = campaign.contacts.time_zone or ""
    return ContactLayout(campaign.topics.events, tuple(slots), zone)


def remembers(campaign: Campaign) -> bool:
    """Whether any rule of a campaign looks at contacts."""
    knows_zone = bool(campaign.quiet_hours and campaign.contacts.zone_property)
    rules = campaign.caps or campaign.exclusive or campaign.contacts.one_open or campaign.budgets
    return (
        knows_zone
        or bool(rules)
        or any(strategy.cool_down or _pauses(strategy) for strategy in campaign.strategies)
    )


def spare_times(campaign: Campaign) -> int:
    """Times that are remembered beyond those that rules ask for: 1 where engines may take a contact back."""
    return int(bool(campaign.contacts.failed or campaign.contacts.sent))


def last_cell(layout: ContactLayout, strategy: str) -> int:
    """The cell of the last contact of a strategy, -1 when there is none."""
    slot = layout.by_name.get(f"last:{strategy}")
    return -1 if slot is None else slot.cell + slot.size - 1


def cap_slot(cap: CapSpec, name: str) -> str:
    """Name of the slot in which a cap counts the contacts of one strategy, channel or group."""
    window = "rolling" if cap.within else f"{cap.per}/{cap.zone}"
    return f"cap:{cap.id}/{cap.scope}:{name}/{window}"


def cap_names(campaign: Campaign, cap: CapSpec) -> tuple[str, ...]:
    """What a cap counts by: see `scope_names`."""
    return tuple(n for n in scope_names(campaign, cap.scope) if not cap.names or n in cap.names)


def is_of(cap: CapSpec, name: str, strategy: StrategySpec) -> bool:
    """Whether a cap counts a strategy under a name."""
    column = "id" if cap.scope == "strategy" else cap.scope
    return cap.scope == "all" or getattr(strategy, column) == name


def _pauses(strategy: StrategySpec) -> bool:
    return bool(strategy.cool_down_converted or strategy.cool_down_complained)


def _wanted(campaign: Campaign) -> Iterator[tuple[str, SlotKind, int, tuple[str, ...]]]:
    ids = tuple(strategy.id for strategy in campaign.strategies)
    spare = spare_times(campaign)
    for strategy in campaign.strategies:
        yield f"last:{strategy.id}", "times", 1 + spare, ()
        if campaign.contacts.one_open:
            yield f"open:{strategy.id}", "until", 1, ()
        if _pauses(strategy):
            yield f"pause:{strategy.id}", "until", 1, ()
    for cap in campaign.caps:
        for name in cap_names(campaign, cap):
            counted = tuple(s.id for s in campaign.strategies if s.counts and is_of(cap, name, s))
            if cap.within:
                yield cap_slot(cap, name), "times", cap.contacts + spare, counted
            else:
                yield cap_slot(cap, name), "period", 1, counted
    yield from _of_events(campaign, ids)


def _of_events(
    campaign: Campaign, ids: tuple[str, ...]
) -> Iterator[tuple[str, SlotKind, int, tuple[str, ...]]]:
    """What events of engines and customers need."""
    events = campaign.contacts
    if events.zone_property:
        yield "home", "home", 2, ()
    if events.failed and any(cap.per and cap.zone == "customer" for cap in campaign.caps):
        yield "zone", "zone", 2, ()
    for told, name in ((events.sent, "sent"), (events.failed, "returned")):
        if told:
            yield name, "bits", -(-len(ids) // _BITS), ids


def describe_slots(layout: ContactLayout, cells: list[int]) -> dict[str, Any]:
    """The cells of one row by the names of their slots, for people; what is empty is left out."""
    found = {slot.name: cells[slot.cell : slot.cell + slot.size] for slot in layout.slots}
    return {name: values for name, values in found.items() if any(values)}
