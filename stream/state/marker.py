"""The marker of a changelog: up to which offset of each event topic everything is decided and written.

One more record beside the rows of customers, under a key of its own; `changelog` has them all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import msgspec

MARKER_VERSION = 1
ALIGNED_MARKER_VERSION = 2  # tells in what order several topics were caught up with
_OFFSET_BITS = 48
# No customer id is equal to it: ids are UTF-8, where the byte 0xff does not occur.
MARKER_KEY = b"\xffopportune-marker"


Offset = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Source(msgspec.Struct, frozen=True):
    """The log of an event topic that offsets belong to.

    Attributes:
        id: Topic id, None when the broker has told none.
        leader_epoch: Of the record batch before the offset, -1 when it is not known.
        epoch: How often the topic was begun anew, as the campaign file says (`topics.anew`).
    """

    id: str | None = None
    leader_epoch: int = -1
    epoch: int = 0

    def reached(self, leader_epoch: int) -> Source:
        """The same log, read on to a batch of a leader epoch."""
        return msgspec.structs.replace(self, leader_epoch=leader_epoch)

    def word(self, offset: int) -> int:
        """A next offset as rows have it: those of a later epoch come after all of an earlier one."""
        return (self.epoch << _OFFSET_BITS) + offset


def offset_of(word: int) -> int:
    """The next offset in a row's word for a topic: see `Source.word`."""
    return word & (1 << _OFFSET_BITS) - 1


class Stretch(msgspec.Struct, frozen=True):
    """What a worker caught up with: records of several topics, taken in the order of their timestamps.

    Attributes:
        start: Next offset of each event topic before it; everything before these was taken before.
        end: Next offset of each event topic after it.
        silent: It only rebuilds the table: what was decided of it was decided in another order, maybe.
    """

    start: dict[str, Offset]
    end: dict[str, Offset]
    silent: bool = False

    @property
    def records(self) -> int:
        """How many, at most."""
        return sum(end - self.start.get(topic, 0) for topic, end in self.end.items())

    def without(self, topic: str) -> Stretch:
        """The other topics of it."""
        start, end = ({t: o for t, o in of.items() if t != topic} for of in (self.start, self.end))
        return Stretch(start, end, self.silent)


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """What the changelog covers.

    Attributes:
        version: Version of this message.
        covered: Next offset of each event topic; everything before it is decided and written.
        order: Topic and end offset of the runs in which what comes next is taken (`worker.order`).
        rows: Customers that the table had then: whoever restores fewer lacks some.
        sources: Of each event topic the log that `covered` counts in.
        generation: Of the consumer group, when its writer began the partition.
        aligned: What workers caught up with, in order: what is not covered of it comes next, between
            the runs of `order` by its offsets.
        reached_ms: Of each event topic the newest event time before `covered`.
        contacts: Whether the contact changelog covers as much.
        decided: Offset of the decision topic before which all decisions are about what is covered.
    """

    version: int
    covered: dict[str, Offset]
    order: list[tuple[str, Offset]] = []
    rows: Offset = 0
    sources: dict[str, Source] = {}
    generation: Offset = 0
    aligned: list[Stretch] | msgspec.UnsetType = msgspec.UNSET
    reached_ms: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    contacts: bool | msgspec.UnsetType = msgspec.UNSET
    decided: Offset | msgspec.UnsetType = msgspec.UNSET


class Anchor(NamedTuple):
    """A marker as it stands in the changelog.

    Attributes:
        offset: Where.
        value: Its bytes.
    """

    offset: int
    value: bytes


@dataclass(slots=True)
class Progress:
    """What the markers read so far say: see `Marker`.

    Attributes:
        anchor: The newest marker read.
        erased: Customers whose tombstones came after the marker that counts the rows.
    """

    covered: dict[str, int] = field(default_factory=dict)
    order: list[tuple[str, int]] = field(default_factory=list)
    rows: int = 0
    anchor: Anchor | None = None
    erased: set[bytes] = field(default_factory=set)
    sources: dict[str, Source] = field(default_factory=dict)
    generation: int = 0
    aligned: list[Stretch] = field(default_factory=list)
    reached_ms: dict[str, int] = field(default_factory=dict)
    has_contacts: bool = False
    decided: int | None = None

    def update(self, marker: Marker) -> bool:
        """Takes over a marker, unless it is one that covers less; tells which.

        Of a topic that was begun anew every offset comes after those from before. The order is that
        of the newest generation, also where it covers less: a marker of an earlier one may come late,
        and what it covers is true, but the order in which the owner takes what follows is the owner's.
        """
        if marker.generation >= self.generation:
            self.generation, self.order = marker.generation, list(marker.order)
            self.aligned = list(marker.aligned or [])
        if any(_reach(marker, topic) < _reach(self, topic) for topic in self.covered):
            return False
        self.covered = dict(marker.covered)
        self.rows, self.has_contacts = marker.rows, bool(marker.contacts)
        self.sources = dict(marker.sources)
        self.reached_ms = dict(marker.reached_ms or {})
        self.decided = None if marker.decided is msgspec.UNSET else marker.decided
        return True


def _reach(told: Marker | Progress, topic: str) -> tuple[int, int]:
    return told.sources.get(topic, Source()).epoch, told.covered.get(topic, 0)


def encode_marker(progress: Progress) -> bytes:
    """Value of the marker record; its key is `MARKER_KEY`. With one event topic it is of version 1."""
    is_aligned = bool(progress.aligned or progress.reached_ms)
    return msgspec.json.encode(
        Marker(
            version=ALIGNED_MARKER_VERSION if is_aligned else MARKER_VERSION,
            covered=dict(progress.covered),
            order=list(progress.order),
            rows=progress.rows,
            sources=dict(progress.sources),
            generation=progress.generation,
            aligned=list(progress.aligned) or msgspec.UNSET,
            reached_ms=dict(progress.reached_ms) or msgspec.UNSET,
            contacts=progress.has_contacts or msgspec.UNSET,
            decided=msgspec.UNSET if progress.decided is None else progress.decided,
        )
    )
