"""A campaign with rules about contacts, compiled, and one customer's row under them."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from stream.campaign.file import Campaign
from stream.campaign.sections.contact_sections import wrong_contacts
from stream.compiled.zone_set import Zones, pack_zones
from stream.contacts import contact_kernel, engine_events
from stream.contacts.contact_layout import ContactLayout, lay_out_contacts
from stream.contacts.contact_rules import compile_contacts
from stream.contacts.contact_table import ContactTable

CODES = ("", "open", "cooling", "paused", "excluded", "capped")
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Apia",
)
PACKED = pack_zones(ZONES)


def campaign(**more: Any) -> Campaign:
    """A campaign with strategies a, b and c, unless `more` has others."""
    strategies = more.pop("strategies", [{"id": name} for name in "abc"])
    raw = {
        "app": "shop", "topics": {"events": ["events"]},
        "features": [{"op": "count", "half_lives": ["1d"]}], "strategies": strategies, **more,
    }  # fmt: skip
    read = msgspec.convert(raw, Campaign)
    assert wrong_contacts(read) == ""
    return read


class Customer:
    """One row."""

    def __init__(self, of: Campaign, layout: ContactLayout | None = None) -> None:
        self.layout = layout or lay_out_contacts(of)
        self.rules = compile_contacts(of, self.layout)
        self.table = ContactTable(self.layout)
        self.zones: Zones = PACKED

    @property
    def cells(self) -> list[int]:
        found: list[int] = self.table.cells[0].tolist()
        return found

    def against(self, k: int, at_ms: int, zone: int = 0) -> tuple[str, int]:
        asked = self.rules, self.zones, self.table.cells, 0
        room_s = np.zeros((2, len(self.rules.limit)), np.int64)
        contact_kernel.find_room(*asked, at_ms, zone, room_s)
        code, retry_ms = contact_kernel.against(*asked, k, at_ms, zone, room_s)
        return CODES[code], retry_ms

    def count(self, k: int, at_ms: int, expires_ms: int = 0, zone: int = 0) -> None:
        contact_kernel.count(
            self.rules, self.zones, self.table.cells, 0, k, at_ms, expires_ms, zone
        )

    def hear(self, says: int, k: int, time_ms: int, zone: int = 0, contact_ms: int = 0) -> None:
        engine_events.correct(
            self.rules, self.zones, self.table.cells, 0, says, k, time_ms, contact_ms, zone
        )
