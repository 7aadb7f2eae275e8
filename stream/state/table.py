"""The customers of one partition: a key index and one matrix of state words.

Rules of this file
1. A row never moves and is never reused while the table lives; row numbers rise with first sight. The
   row of an erased customer stays empty; one who comes back gets another.
2. Rows and keys grow by a quarter, in place where the allocator can: what is allocated stays within
   1.3 times what is used.
3. The table knows bytes and words. What a word means is the business of `stream.features.plan`.
4. The index is keyed, for who sends events chooses the ids. The key decides how long a look-up takes
   and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

import numba
import numpy as np

from stream.columns import Bytes, Float64s, Int32s, Int64s, Spans, UInt64s
from stream.compiled.bytecopy import copy_bytes
from stream.compiled.keyed_hash import PROCESS_KEY, HashKey, keyed_hash

_ROWS_MIN = 256
_KEY_BYTES_GUESS = 16
_GROWTH = 1.25
_NO_KEY = 0xFF  # a byte that no id has: ids are UTF-8
# Two thirds full at most: linear probing then takes a handful of steps, for keys that nobody can aim.
_SLOTS_PER_ROW = 1.5

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


class CustomerTable:
    """State of the customers of one partition, read and written as columns.

    Args:
        words: 8-byte words of state per customer.
        key: Of the index.

    Attributes:
        rows: Number of rows, those of erased customers included; `len` counts customers.
    """

    def __init__(self, words: int, key: HashKey = PROCESS_KEY) -> None:
        self.words = words
        self._key = key
        self.rows = 0
        self._erased: set[int] = set()
        self._state = np.zeros((_ROWS_MIN, words), np.float64)
        self._dirty = np.zeros(_ROWS_MIN, np.bool_)
        self._links: list[tuple[int, int]] = []
        self._forgotten: set[int] = set()
        self._hash = np.zeros(_ROWS_MIN, np.uint64)
        self._key_end = np.zeros(_ROWS_MIN + 1, np.int64)
        self._keys = np.zeros(_ROWS_MIN * _KEY_BYTES_GUESS, np.uint8)
        self._slots = np.zeros(int(_ROWS_MIN * _SLOTS_PER_ROW) + 1, np.int32)

    def __len__(self) -> int:
        return self.rows - len(self._erased)

    @property
    def live(self) -> Int64s:
        """The rows of customers that are not erased, rising. Shape (customers,), int64."""
        rows = np.arange(self.rows)
        return np.delete(rows, sorted(self._erased)) if self._erased else rows

    @property
    def hashes(self) -> UInt64s:
        """Hash of the key of each customer, alike in tables with one index key. Shape (customers,)."""
        return self._hash[self.live]

    @property
    def state(self) -> Float64s:
        """The state of every row. Shape (rows, words). Valid until the next `rows_for`."""
        return self._state[: self.rows]

    @property
    def nbytes(self) -> int:
        """Bytes allocated for all customers together."""
        return sum(
            array.nbytes
            for array in (
                self._state, self._dirty, self._hash, self._key_end, self._keys, self._slots,
            )
        )  # fmt: skip

    def rows_for(self, keys: Spans) -> Int64s:
        """Row of each key; a key not seen before gets a new row of zeros. Shape (n,), int64."""
        out = np.empty(len(keys), np.int64)
        done = 0
        while done < len(keys):
            self.rows, done = _find_or_add(
                keys.data, keys.start, keys.size,
                self._slots, self._hash, self._key_end, self._keys, self._key, self.rows, done, out,
            )  # fmt: skip
            if done < len(keys):
                self._grow(int(keys.size[done]))
        return out

    def find(self, key: bytes) -> int:
        """Row of one key, -1 when it is not there."""
        data = np.frombuffer(key or b"\0", np.uint8)
        index = (self._slots, self._hash, self._key_end, self._keys, self._key)
        return int(_find(data, 0, len(key), *index)[0])

    def key(self, row: int) -> bytes:
        """The key of a row."""
        return self._keys[self._key_end[row] : self._key_end[row + 1]].tobytes()

    def keys(self) -> Iterator[bytes]:
        """All keys, in the order of their rows."""
        return (self.key(row) for row in self.live.tolist())

    def key_spans(self, rows: Int64s) -> Spans:
        """The keys of some rows, as views into the table."""
        start = self._key_end[rows]
        return Spans(self._keys, start, self._key_end[rows + 1] - start)

    def erase(self, rows: Int64s) -> None:
        """Forgets customers: their keys and what was known of them."""
        # The slots go on leading past them: an index has no holes.
        for row in rows.tolist():
            self._keys[self._key_end[row] : self._key_end[row + 1]] = _NO_KEY
            self._erased.add(row)
            self._forgotten.discard(row)
        self._state[rows] = 0.0
        self._dirty[rows] = False

    def mark_dirty(self, rows: Int64s) -> None:
        """Remembers rows whose state has changed since the last `take_dirty`."""
        self._dirty[rows] = True

    def mark_emptied(self, rows: Int64s, emptied: Int64s) -> None:
        """Remembers rows that events have emptied, which are dirty, and what was in them is in others now.

        Args:
            rows: Row of the customer of each event. Shape (n,), int64.
            emptied: Row that it emptied, its own when the customer is forgotten, -1 for none. Shape
                (n,), int64; or of none.
        """
        which = np.flatnonzero(emptied >= 0)
        self._dirty[emptied[which]] = True
        for row, other in zip(rows[which].tolist(), emptied[which].tolist(), strict=True):
            if row == other:
                self._forgotten.add(row)
            else:
                self._links.append((row, other))

    @property
    def links(self) -> list[tuple[int, int]]:
        """What `take_links` would give."""
        return list(self._links)

    def take_links(self) -> list[tuple[int, int]]:
        """What was carried over since the last call, in order: to which row, and from which; forgets it."""
        links, self._links = self._links, []
        return links

    @property
    def forgotten(self) -> set[int]:
        """Rows of customers who are forgotten, to be erased once nothing of before can come again."""
        return self._forgotten

    @property
    def has_dirty(self) -> bool:
        """Whether rows have changed since the last `take_dirty`."""
        return bool(self._dirty[: self.rows].any())

    def take_dirty(self) -> Int64s:
        """Rows changed since the last call, rising; forgets them."""
        rows = np.flatnonzero(self._dirty[: self.rows])
        self._dirty[rows] = False
        return rows

    def _grow(self, key_bytes: int) -> None:
        """Makes room for one more row with a key of that size, and a quarter more of what is full."""
        if self.rows == len(self._state):
            capacity = int(self.rows * _GROWTH)
            # resize() extends in place when it can; nobody holds a view across rows_for.
            self._state.resize((capacity, self.words), refcheck=False)
            for array in (self._dirty, self._hash):
                array.resize(capacity, refcheck=False)
            self._key_end.resize(capacity + 1, refcheck=False)
            self._slots = np.zeros(int(capacity * _SLOTS_PER_ROW) + 1, np.int32)
            _rebuild(self._hash, self.rows, self._slots)
        used = int(self._key_end[self.rows])
        if used + key_bytes > len(self._keys):
            size = max(used + key_bytes, int(len(self._keys) * _GROWTH))
            self._keys.resize(size, refcheck=False)


@_jit
def _slot_of(value: np.uint64, slots: int) -> int:
    """Maps the upper 32 bits onto the slots without a division (Lemire 2019, fastrange)."""
    return int(np.int64(((value >> np.uint64(32)) * np.uint64(slots)) >> np.uint64(32)))


@_jit
def _same(a: Bytes, a_start: int, b: Bytes, b_start: int, size: int) -> bool:
    for i in range(size):  # noqa: SIM110  # numba compiles no generator
        if a[a_start + i] != b[b_start + i]:
            return False
    return True


@_jit
def _find(
    data: Bytes, start: int, size: int,
    slots: Int32s, hashes: UInt64s, key_end: Int64s, keys: Bytes, hash_key: HashKey,
) -> tuple[int, int, np.uint64]:  # fmt: skip
    """Row of a key (-1: absent), the slot where it is or would go, and its hash."""
    value = keyed_hash(data, start, size, hash_key)
    slot = _slot_of(value, len(slots))
    while slots[slot] != 0:
        row = int(slots[slot]) - 1
        if (
            hashes[row] == value
            and key_end[row + 1] - key_end[row] == size
            and _same(keys, key_end[row], data, start, size)
        ):
            return row, slot, value
        slot += 1
        if slot == len(slots):
            slot = 0
    return -1, slot, value


@_jit
def _find_or_add(
    data: Bytes, start: Int64s, size: Int64s,
    slots: Int32s, hashes: UInt64s, key_end: Int64s, keys: Bytes, hash_key: HashKey,
    rows: int, first: int, out: Int64s,
) -> tuple[int, int]:  # fmt: skip
    """Fills out from `first` on; returns the number of rows and where it stopped for want of room."""
    for i in range(first, len(start)):
        length = max(size[i], 0)
        row, slot, value = _find(data, start[i], length, slots, hashes, key_end, keys, hash_key)
        if row < 0:
            if rows == len(hashes) or key_end[rows] + length > len(keys):
                return rows, i
            row = rows
            hashes[row] = value
            key_end[row + 1] = copy_bytes(data, start[i], length, keys, key_end[row])
            slots[slot] = row + 1
            rows += 1
        out[i] = row
    return rows, len(start)


@_jit
def _rebuild(hashes: UInt64s, rows: int, slots: Int32s) -> None:
    for row in range(rows):
        slot = _slot_of(hashes[row], len(slots))
        while slots[slot] != 0:
            slot += 1
            if slot == len(slots):
                slot = 0
        slots[slot] = row + 1
