"""Where events say what of consent: all paths of all forms, for both readers.

Rules of this file
1. All places count, in a CloudEvent those below `data` and those from its root.
2. What stands at `traits` may as well stand at `context.traits`, as senders of `track` have it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stream.campaign.field_path import around, is_header, quoted
from stream.campaign.file import EventMapping
from stream.campaign.purposes import Purpose
from stream.columns import Bools, Int64s, UInt64s
from stream.events.consent.vocabulary import Words, compile_words, word_hash
from stream.events.scan import FLOAT64, Kinds

FLAG, OPT_OUT, XDM, CATEGORIES, ALLOWED, DENIED, STRATEGY, AROUND = range(8)
"""What stands at a place: a flag, one that says the opposite, one of XDM, an object of flags by category, lists of the ids of
categories that are allowed and denied, whether any or each of these has to be allowed, and the object
around such, which says nothing itself; anything else in its place is about consent and unreadable."""

NODE, WHAT, PURPOSE = range(3)
_TRAITS = "traits."


@dataclass(frozen=True, slots=True)
class Place:
    """One path.

    Attributes:
        path: From the root, see `stream.campaign.field_path`.
        what: FLAG to AROUND.
        purpose: Index of the purpose of a flag, of an object around others all their purposes as bits,
            else 0.
    """

    path: str
    what: int
    purpose: int = 0


class ConsentTables(NamedTuple):
    """What the kernel reads.

    Attributes:
        items: The columns NODE, WHAT, PURPOSE. Shape (places, 3), int64.
        first: Where the places of bare events begin, those of CloudEvents, and the end.
            Shape (3,), int64.
        names: Hash of each name of a purpose. Shape (names,), uint64.
        owner: Index of its purpose. Shape (names,), int64.
        named: Purposes that have a name, as bits.
        expected: Those of them that a consent tool denies when it does not list them, as bits.
        words: The words of flags.
    """

    items: Int64s
    first: Int64s
    names: UInt64s
    owner: Int64s
    named: int
    expected: int
    words: Words

    def leave_unclear(self, kind: Kinds, seen: Kinds, ok: Bools) -> None:
        """Makes `ok` false where something stands that JSON does not have; `seen` as in `hear`."""
        nodes = np.unique(self.items[:, NODE])
        unclear = nodes[seen[nodes] >= FLOAT64]
        if len(unclear):
            ok &= (kind[:, unclear] < FLOAT64).all(axis=1)


class ConsentPlaces:
    """Where the purposes of a campaign stand, and what they are called.

    Args:
        mapping: The paths and words of the campaign.
        purposes: Its purposes, the general one first.

    Attributes:
        count: Number of purposes.
        bare: The places in a bare event.
        enveloped: Those in a CloudEvent.
        owners: By the hash of each name the purposes that it stands for.
        named: Purposes that have a name, as bits.
        expected: As in `ConsentTables`.
        words: The words of flags.
    """

    def __init__(self, mapping: EventMapping, purposes: Sequence[Purpose]) -> None:
        self.count = len(purposes)
        places = dict.fromkeys(_places(mapping, purposes))
        said = {place.path for place in places if place.what != AROUND}
        self.bare = tuple(p for p in places if p.what != AROUND or p.path not in said)
        inside = (place for place in self.bare if not is_header(place.path))
        below = tuple(Place(f"data.{p.path}", p.what, p.purpose) for p in inside)
        self.enveloped = (*below, *self.bare) if mapping.cloudevents else self.bare
        self.owners: dict[int, list[int]] = {}
        for p, purpose in enumerate(purposes):
            for value in dict.fromkeys(map(word_hash, purpose.names)):
                self.owners.setdefault(value, []).append(p)
        self.named = _bits([bool(purpose.names) for purpose in purposes])
        self.expected = self.named & _bits([purpose.is_expected for purpose in purposes])
        self.words = compile_words(mapping.consent_granted, mapping.consent_denied)

    @property
    def paths(self) -> frozenset[str]:
        """All paths."""
        return frozenset(place.path for place in self.enveloped)

    @property
    def containers(self) -> frozenset[str]:
        """The paths of objects and lists whose keys and ids are not known beforehand."""
        kinds = (CATEGORIES, ALLOWED, DENIED)
        return frozenset(place.path for place in self.enveloped if place.what in kinds)

    def tables(self, node_of: Mapping[str, int]) -> ConsentTables:
        """What the kernel reads, for a trie whose paths are these nodes."""
        places = (*self.bare, *self.enveloped)
        items = [[node_of[place.path], place.what, place.purpose] for place in places]
        owners = [(value, p) for value, those in self.owners.items() for p in those]
        return ConsentTables(
            np.array(items, np.int64).reshape(-1, 3),
            np.array([0, len(self.bare), len(places)], np.int64),
            np.array([value for value, _ in owners], np.uint64),
            np.array([p for _, p in owners], np.int64),
            self.named,
            self.expected,
            self.words,
        )


def _places(mapping: EventMapping, purposes: Sequence[Purpose]) -> Iterator[Place]:
    for p, purpose in enumerate(purposes):
        for path in purpose.paths:
            yield Place(path, FLAG, p)
            if path.startswith(_TRAITS):
                yield Place(f"context.{path}", FLAG, p)
        for path in purpose.opt_out:
            yield Place(path, OPT_OUT, p)
            if path.startswith(_TRAITS):
                yield Place(f"context.{path}", OPT_OUT, p)
        for root in mapping.consent_xdm:
            yield Place(f"{root}.{quoted(purpose.xdm)}.val", XDM, p)
    yield from _around(mapping, purposes)
    for paths, what in (
        (mapping.consent_categories, CATEGORIES),
        (mapping.consent_allowed_ids, ALLOWED),
        (mapping.consent_denied_ids, DENIED),
        (mapping.consent_strategy, STRATEGY),
    ):
        for path in paths:
            yield Place(path, what)


def _around(mapping: EventMapping, purposes: Sequence[Purpose]) -> Iterator[Place]:
    """The objects around what says something of consent."""
    everything = _bits([True] * len(purposes))
    inner = (
        mapping.consent_categories, mapping.consent_allowed_ids, mapping.consent_denied_ids,
        mapping.consent_strategy,
    )  # fmt: skip
    for path in (around(path) for paths in inner for path in paths):
        if path:
            yield Place(path, AROUND, everything)
    for root in mapping.consent_xdm:
        yield Place(root, AROUND, everything)
        for p, purpose in enumerate(purposes):
            yield Place(f"{root}.{quoted(purpose.xdm)}", AROUND, 1 << p)


def _bits(flags: Sequence[bool]) -> int:
    return sum(1 << k for k, flag in enumerate(flags) if flag)
