"""Where the parts of an event stand in its JSON, and the trie that finds them in one pass.

Rules of this file
1. What a path is made of says `stream.campaign.field_path`: keys of objects, indices of arrays.
2. The decoder and the judge read the same `EventPaths`, so they look in the same places.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numba
import numpy as np

from stream.campaign.field_path import HeaderName, Step, Steps, bodies, is_header, list_parts, steps
from stream.campaign.file import EventMapping
from stream.columns import Bytes, Int64s
from stream.compiled.byteread import byte_at

Paths: TypeAlias = tuple[str, ...]

CUSTOMER, EVENT_ID, TYPE, TIMESTAMP, PREVIOUS = range(5)
FIRST_NUMBER = 5
"""Fields by number: these five, then the declared numbers, categories, and categories of lists."""

SPECVERSION, DATA = "specversion", "data"
DATA_BASE64 = "data_base64"
_CONTEXT_ATTRIBUTES = {CUSTOMER: "subject", EVENT_ID: "id", TYPE: "type", TIMESTAMP: "time"}

ROOT, UNWANTED = 0, -1
_NO_KEY = b"\xff"  # before the name of a header: no UTF-8, so that no value has such a key
PARENT, END, KEY_START, KEY_SIZE, WHOLE = range(5)

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@dataclass(frozen=True, slots=True)
class EventPaths:
    """The candidate paths of every field, best first.

    Attributes:
        bare: For an event that is the root of the JSON.
        enveloped: For the JSON of a CloudEvent: below `data`, then from the root, then the context
            attribute that says the same. The same as `bare` when CloudEvents are not unwrapped.
        numbers: How many fields after the first five are numbers; the rest are categories.
        singles: How many of the rest are categories of their own row; behind them come those that a
            `CategoryColumn` is made of.
        properties: The declared paths of the fields after the first five.
        tails: Of each of these what `list_parts` has behind its first part, nothing where the path leads
            into no list. Such a field is the list itself.
        sent_at: Where senders say when they sent, in a bare event and in a CloudEvent; no field,
            since it is looked at only when a clock is wrong.
    """

    bare: tuple[Paths, ...]
    enveloped: tuple[Paths, ...]
    numbers: int
    singles: int = 0
    properties: Paths = ()
    tails: tuple[Paths, ...] = ()
    sent_at: tuple[Paths, Paths] = ((), ())

    @property
    def unwraps(self) -> bool:
        """Whether CloudEvents are looked into."""
        return self.enveloped is not self.bare

    @property
    def counted(self) -> Paths:
        """The paths by which what cannot be read is counted, see `stream.events.flaws`.

        The numbers, the categories, the paths of the time, and with CloudEvents their `time`; then those
        of the event id, with `id`.
        """
        own = {f: (_CONTEXT_ATTRIBUTES[f],) if self.unwraps else () for f in (TIMESTAMP, EVENT_ID)}
        named = (path for field, more in own.items() for path in (*self.bare[field], *more))
        return (*self.properties, *named)

    @property
    def lists(self) -> frozenset[str]:
        """The paths of the lists that properties lead into."""
        forms = (self.bare[FIRST_NUMBER:], self.enveloped[FIRST_NUMBER:])
        return frozenset(
            path for form in forms for of, tail in zip(form, self.tails, strict=True) if tail
            for path in of
        )  # fmt: skip

    def own_customer(self, form: int) -> Paths:
        """Where a customer stands that is no fallback: two places, in a bare event the same."""
        declared = self.bare[CUSTOMER][:1]
        return (*_below(declared), *declared) if form and self.unwraps else declared * 2

    def times(self, form: int) -> tuple[int, ...]:
        """Of every candidate of the time the index in `counted`; form 1 is that of CloudEvents."""
        return self._rows(TIMESTAMP, len(self.properties), form)

    def event_ids(self, form: int) -> tuple[int, ...]:
        """The same of every candidate of the event id."""
        times = len(self.bare[TIMESTAMP]) + self.unwraps
        return self._rows(EVENT_ID, len(self.properties) + times, form)

    def _rows(self, field: int, first: int, form: int) -> tuple[int, ...]:
        declared = self.bare[field]
        own = range(first, first + len(declared))
        below = (k for k, path in zip(own, declared, strict=True) if not is_header(path))
        return (*below, *own, first + len(declared)) if form and self.unwraps else tuple(own)

    @classmethod
    def of(
        cls,
        mapping: EventMapping,
        numbers: Sequence[str],
        categories: Sequence[str],
        columns: Sequence[str] = (),
    ) -> EventPaths:
        """Paths of a campaign's mapping and of its declared properties.

        Args:
            mapping: Where the parts of an event stand.
            numbers: Paths of numbers; they may lead into lists.
            categories: Paths of single categories.
            columns: Paths of what is kept in a `CategoryColumn`, each once.

        Raises:
            CampaignError: One is no path.
        """
        previous = mapping.previous_id if mapping.login == "merge" else ()
        fixed = (mapping.customer_id, mapping.event_id, mapping.type, mapping.timestamp, previous)
        properties = (*numbers, *categories, *columns)
        parts = [list_parts(path) for path in (*numbers, *columns)]
        parts[len(numbers) : len(numbers)] = [(path,) for path in categories]
        bare = (*fixed, *((head,) for head, *_ in parts))
        tails = tuple(part[1:] for part in parts)
        sent_at = mapping.sent_at
        enveloped, sent_below = bare, sent_at
        if mapping.cloudevents:
            enveloped = tuple(_below_data(field, paths) for field, paths in enumerate(bare))
            sent_below = _below_data(-1, sent_at)
        return cls(
            bare, enveloped, len(numbers), len(categories), properties, tails, (sent_at, sent_below)
        )


def batch_paths(mapping: EventMapping) -> tuple[Paths, Paths]:
    """Where the events of a batch stand, in a bare record and in a CloudEvent; nowhere is no path."""
    paths = () if mapping.batch is None else (mapping.batch,)
    return paths, _below_data(-1, paths) if mapping.cloudevents else paths


def _below_data(field: int, paths: Paths) -> Paths:
    attribute = _CONTEXT_ATTRIBUTES.get(field)
    return (*_below(paths), *paths, *((attribute,) if attribute else ()))


def _below(paths: Paths) -> Paths:
    return tuple(f"{DATA}.{path}" for path in bodies(paths))


class Trie(NamedTuple):
    """What to look for, as arrays; a node is a key or an index below its parent, node 0 is the root.

    Nodes are numbered in preorder, so that the subtree of a node is the range node:nodes[node, END].

    Attributes:
        slots: Hash table from (parent, key) to node, -1 where empty, open addressing; indices are
            not in it. Shape (a power of two,), int64.
        nodes: The columns PARENT, END, KEY_START, KEY_SIZE, WHOLE. Of an index KEY_START is the index
            and KEY_SIZE is -1; below a node indices come before keys. WHOLE is 1 where all that a
            container holds is wanted, which says something to formats other than JSON alone. Shape
            (nodes, 5), int64.
        keys: The keys of all nodes back to back, UTF-8 but of record headers. Shape (bytes,), uint8.
    """

    slots: Int64s
    nodes: Int64s
    keys: Bytes


def compile_trie(paths: Iterable[str], whole: Iterable[str] = ()) -> tuple[Trie, dict[str, int]]:
    """The trie of some paths, those of containers that are wanted whole too; the node of each path.

    Raises:
        CampaignError: One is no path.
    """
    whole = frozenset(whole)
    wanted = whole.union(paths)
    tree: dict[Step, Any] = {}
    for path in sorted(wanted):
        branch = tree
        for step in steps(path):
            branch = branch.setdefault(step, {})
    rows = [[UNWANTED, 0, 0, 0, 0]]
    keys = b""
    place: dict[Steps, int] = {}

    def add(branch: dict[Step, Any], node: int, prefix: Steps) -> None:
        nonlocal keys
        for step, below in sorted(branch.items(), key=lambda item: not isinstance(item[0], int)):
            place[(*prefix, step)] = child_node = len(rows)
            if isinstance(step, int):
                rows.append([node, 0, step, -1, 0])
            else:
                key = (
                    _NO_KEY + step.name.encode() if isinstance(step, HeaderName) else step.encode()
                )
                rows.append([node, 0, len(keys), len(key), 0])
                keys += key
            add(below, child_node, (*prefix, step))
        rows[node][END] = len(rows)

    add(tree, ROOT, ())
    node_of = {path: place[steps(path)] for path in wanted}
    for path in whole:
        rows[node_of[path]][WHOLE] = 1
    slots = np.full(1 << (4 * len(rows)).bit_length(), UNWANTED, np.int64)
    trie = Trie(slots, np.array(rows, np.int64), np.frombuffer(keys, np.uint8))
    for node, (parent, _, start, size, _) in enumerate(rows[1:], start=1):
        if size >= 0:
            slots[_slot(*trie, parent, trie.keys, start, size)] = node
    return trie, node_of


def node_at_root(trie: Trie, key: str) -> int:
    """The node of a key at the root, UNWANTED when no path goes there."""
    encoded = np.frombuffer(key.encode(), np.uint8)
    return int(child(*trie, ROOT, encoded, 0, len(encoded)))


def trie_below(trie: Trie, node: int) -> Trie:
    """A trie whose root has the children of a node, which are the same nodes as there, and no others."""
    nodes = trie.nodes.copy()
    nodes[nodes[:, PARENT] == ROOT, PARENT] = UNWANTED
    nodes[nodes[:, PARENT] == node, PARENT] = ROOT
    below = Trie(np.full_like(trie.slots, UNWANTED), nodes, trie.keys)
    for one in range(node + 1, int(nodes[node, END])):
        parent, _, start, size = nodes[one, :4].tolist()
        if size >= 0:
            below.slots[_slot(*below, parent, below.keys, start, size)] = one
    return below


@_inlined
def _slot(
    slots: Int64s, nodes: Int64s, keys: Bytes, parent: int, data: Bytes, start: int, size: int
) -> int:
    """The slot that holds key data[start:start+size] below `parent`, else the empty one for it."""
    mask = len(slots) - 1
    mixed = parent * 31 + size
    for k in range(size):  # every byte, digits side by side: pixel_0 to pixel_783 stay apart
        mixed += byte_at(data, start + k) << ((k & 3) * 4)
    slot = mixed & mask
    while slots[np.uintp(slot)] >= 0:
        node = np.uintp(slots[np.uintp(slot)])
        if nodes[node, PARENT] == parent and nodes[node, KEY_SIZE] == size:
            key = int(nodes[node, KEY_START])
            k = 0
            while k < size and byte_at(data, start + k) == byte_at(keys, key + k):
                k += 1
            if k == size:
                break
        slot = (slot + 1) & mask
    return slot


@_inlined
def child(
    slots: Int64s, nodes: Int64s, keys: Bytes, parent: int, data: Bytes, start: int, size: int
) -> int:
    """The node of key data[start:start+size] below `parent`, UNWANTED when no path goes there."""
    return int(slots[_slot(slots, nodes, keys, parent, data, start, size)])


@_inlined
def has_elements(nodes: Int64s, node: int) -> bool:
    """Whether elements of an array at a node are looked for."""
    return bool(node > ROOT and node + 1 < nodes[node, END] and nodes[node + 1, KEY_SIZE] < 0)


@_inlined
def element(nodes: Int64s, parent: int, index: int) -> int:
    """The node of an element of the array at `parent`, UNWANTED when no path goes there."""
    node = parent + 1
    end = int(nodes[parent, END])
    while node < end:
        if nodes[node, KEY_SIZE] < 0 and nodes[node, KEY_START] == index:
            return node
        node = int(nodes[node, END])
    return UNWANTED
