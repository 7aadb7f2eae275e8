"""Contact rows of one layout as rows of another: what is counted under the same name stays.

Rules of this file
1. Where an earlier row knows less than a new rule asks for, it counts as if there were more contacts.
2. A contact that was counted elsewhere than it would be given back is not given back.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stream.columns import Int64s
from stream.contacts.contact_layout import ContactLayout, Slot
from stream.contacts.contact_table import Cells

_BITS = 32
_RETURNED = "returned"


class Mapped(NamedTuple):
    """n rows in another layout.

    Attributes:
        next_offset: Shape (n, topics), int64.
        cells: Shape (n, cells), uint32.
    """

    next_offset: Int64s
    cells: Cells


class ContactMapping:
    """From one layout to another.

    Args:
        old: The layout of the rows that there are.
        new: The one that is wanted.
    """

    def __init__(self, old: ContactLayout, new: ContactLayout) -> None:
        self.old, self.new = old, new
        self._same = old == new
        self._moved = _moved(old, new)

    def rows(self, next_offset: Int64s, cells: Cells) -> Mapped:
        """The rows in the new layout.

        Args:
            next_offset: Shape (n, topics of the old layout), int64.
            cells: Shape (n, cells of the old layout), uint32.
        """
        if self._same:
            return Mapped(next_offset, cells)
        offsets = np.zeros((len(cells), len(self.new.topics)), np.int64)
        for i, topic in enumerate(self.new.topics):
            if topic in self.old.topics:
                offsets[:, i] = next_offset[:, self.old.topics.index(topic)]
        out = np.zeros((len(cells), self.new.cells), np.uint32)
        for slot in self.new.slots:
            before = self.old.by_name.get(slot.name)
            if before is not None:
                _copy(before, slot, cells, out)
        returned = self.new.by_name.get(_RETURNED)
        if returned is not None:
            for k in self._moved:
                out[:, returned.cell + k // _BITS] |= np.uint32(1 << k % _BITS)
        return Mapped(offsets, out)


def _copy(before: Slot, slot: Slot, cells: Cells, out: Cells) -> None:
    """Writes a slot of the new rows from the one of its name."""
    found = cells[:, before.cell : before.cell + before.size]
    into = out[:, slot.cell : slot.cell + slot.size]
    if slot.kind == "times":
        kept = min(before.size, slot.size)
        into[:, slot.size - kept :] = found[:, before.size - kept :]
        # What was before the earliest is not known, but that it was no later.
        into[:, : slot.size - kept] = found[:, :1]
    elif slot.kind == "bits":
        for k, name in enumerate(slot.of):
            if name in before.of:
                old = before.of.index(name)
                bit = found[:, old // _BITS] >> np.uint32(old % _BITS) & np.uint32(1)
                into[:, k // _BITS] |= bit << np.uint32(k % _BITS)
    else:
        into[:] = found


def _moved(old: ContactLayout, new: ContactLayout) -> tuple[int, ...]:
    """The strategies whose contacts count elsewhere than they did, as bits of the new layout."""
    returned = new.by_name.get(_RETURNED)
    if returned is None:
        return ()
    same_zone = old.time_zone == new.time_zone
    return tuple(
        k for k, name in enumerate(returned.of)
        if not same_zone or _counts_in(old, name) != _counts_in(new, name)
    )  # fmt: skip


def _counts_in(layout: ContactLayout, strategy: str) -> set[str]:
    return {s.name for s in layout.slots if s.kind in ("times", "period") and strategy in s.of}
