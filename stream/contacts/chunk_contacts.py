"""The events of a chunk as the rules about contacts see them: whose they are, where, and which are new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream.campaign.file import Campaign
from stream.columns import Bools, EventBatch, Int64s, UInt64s
from stream.compiled.zone_set import Zones, pack_zones, zone_names
from stream.contacts.contact_layout import remembers
from stream.contacts.contact_plan import (
    ContactPlan,
    ContactState,
    Heard,
    compile_contact_plan,
    follow_homes,
    state_of,
)
from stream.contacts.contact_table import ContactTable


def has_contact_rules(campaign: Campaign) -> bool:
    """Whether any rule of a campaign is about contacts, quiet hours among them."""
    return campaign.quiet_hours is not None or remembers(campaign)


class ContactZones:
    """The zones that contacts are counted in; those that events name join when they are first met.

    Args:
        time_zone: IANA name of the campaign's, which is that of customers whose own is not known.

    Attributes:
        zones: The zones as they are.
    """

    def __init__(self, time_zone: str) -> None:
        self._names = [time_zone]
        self._index: dict[int, int] = {}
        self.zones: Zones = pack_zones(self._names)

    def find(self, hashes: UInt64s) -> Int64s:
        """Index of the zones whose names have these hashes, 0 for none. Shape (n,), int64."""
        named, of = np.unique(hashes, return_inverse=True)
        known = len(self._names)
        index = np.array([self._find(one) for one in named.tolist()], np.int64)
        if len(self._names) > known:
            self.zones = pack_zones(self._names)
        return index[of]

    def _find(self, named: int) -> int:
        if named not in self._index:
            name = zone_names().get(named)
            if name is None:  # nor is it remembered: there is no end to such names
                return 0
            self._index[named] = len(self._names)
            self._names.append(name)
        return self._index[named]


@dataclass(frozen=True, slots=True)
class ChunkContacts:
    """n events of one topic and the rows of their customers.

    Attributes:
        heard: The events; their zones are not known yet.
        named: Hash of the time zone that each names, 0 for none. Shape (n,), uint64.
        spread: Hash that says where each is in the spread of a release. Shape (n,), uint64.
        table: The contact rows.
        rows: How many rows there have to be.
    """

    heard: Heard
    named: UInt64s
    spread: UInt64s
    table: ContactTable
    rows: int

    def take(self, index: Int64s) -> ChunkContacts:
        """Some of the events, in order."""
        h = self.heard
        heard = Heard(
            h.topic, h.row[index], h.word[index], h.time_ms[index], h.type_code[index],
            h.strategy[index], h.contact_ms[index], h.zone[index], h.counts[index],
            h.source[index] if len(h.source) else h.source,
        )  # fmt: skip
        return ChunkContacts(heard, self.named[index], self.spread[index], self.table, self.rows)


class ChunkReader:
    """Makes columns for the rules about contacts of one campaign.

    Args:
        campaign: The campaign file.
        event_types: Event types by type code.
        category_paths: Paths of the categories that the decoder delivers.
        number_paths: Paths of the numbers.

    Attributes:
        plan: The compiled rules.
        zones: The time zones.
    """

    def __init__(
        self, campaign: Campaign, event_types: Sequence[str], category_paths: Sequence[str],
        number_paths: Sequence[str],
    ) -> None:  # fmt: skip
        self.plan: ContactPlan = compile_contact_plan(
            campaign, event_types, category_paths, number_paths
        )
        self.zones = ContactZones(campaign.contacts.time_zone or "UTC")
        zone = campaign.contacts.zone_property
        self._zone_path = category_paths.index(zone) if zone else -1

    def read(
        self, batch: EventBatch, topic: int, rows: Int64s, counts: Bools, spread: UInt64s,
        table: ContactTable | None, source: Int64s,
    ) -> ChunkContacts:  # fmt: skip
        """The events of a chunk.

        Args:
            batch: n events, with offsets as rows count them.
            topic: Index of their topic in the campaign.
            rows: Row of each customer. Shape (n,), int64.
            counts: Whether each is no replay, no repetition and not silent. Shape (n,), bool.
            spread: See `ChunkContacts`.
            table: The contact rows; None where no rule remembers contacts.
            source: See `Heard`.
        """
        n, engine = len(batch), self.plan.engine
        if table is None:
            assert not self.plan.layout.cells, "expected the contacts of the partition"
            table, rows = ContactTable(self.plan.layout), np.zeros(n, np.int64)  # nothing is kept
            source = np.zeros(0, np.int64)
        most = max(int(rows.max(initial=-1)), int(source.max(initial=-1))) + 1
        table.fit(most)
        is_new = table.next_offset[rows, topic] <= batch.offset
        nobody = np.zeros(n, np.uint64)
        heard = Heard(
            topic, rows, batch.offset, batch.time_ms, batch.type_code,
            batch.category[engine.path] if engine.path >= 0 else nobody,
            batch.number[engine.time_path] if engine.time_path >= 0 else np.full(n, np.nan),
            np.zeros(n, np.int64), counts & is_new, source,
        )  # fmt: skip
        named = batch.category[self._zone_path] if self._zone_path >= 0 else nobody
        return ChunkContacts(heard, named, spread, table, most)

    def locate(self, chunk: ChunkContacts) -> tuple[ContactState, Heard, Bools]:
        """The rows, the events with the zone that each customer is in, and who has moved.

        After the decisions `keep_homes` has the rows of those written who have moved.
        """
        state = state_of(chunk.table, chunk.rows)
        n, home = len(chunk.named), self.plan.layout.cell("home")
        moved = np.zeros(n, np.bool_)
        if home < 0:
            return state, chunk.heard, moved
        named = np.empty(n, np.uint64)
        follow_homes(home, state, chunk.heard, chunk.named, named, moved)
        return state, chunk.heard._replace(zone=self.zones.find(named)), moved
