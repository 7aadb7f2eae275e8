"""The varying values of n messages as JSON text, all in one buffer.

Rules of this file
1. Every value is a whole JSON value, a number, which may also stand inside a string, or a suffix.
2. A missing value has size -1; the template writes it as null.
3. Python code runs once for each slot of a chunk, never once for each message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stream.columns import Bytes, Float64s, Int64s, Spans
from stream.decisions import chance_text, json_text, retry_text


@dataclass(frozen=True, slots=True)
class Table:
    """A list of texts to choose from by index.

    Attributes:
        data: All texts, one after the other.
        start: First byte of each. int64, of any shape.
        size: Length of each. int64, the same shape.
    """

    data: Bytes
    start: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[bytes], shape: tuple[int, ...] = (-1,)) -> Table:
        """Lays out the texts; `shape` is that of the index, rows first."""
        size = np.array([len(text) for text in texts], np.int64)
        data = np.frombuffer(b"".join(texts), np.uint8).copy()
        return cls(data, (np.cumsum(size) - size).reshape(shape), size.reshape(shape))


class Page:
    """Slots, each with one value for every message.

    Attributes:
        data: The text of all values.
        row: Row of each slot in `start` and `size`.
        start: First byte of each value. Shape (slots, messages), int64.
        size: Its length, -1 when it is missing. Shape (slots, messages), int64.
    """

    def __init__(self, messages: int, slots: int) -> None:
        """An empty page with room for that many slots."""
        self.row: dict[str, int] = {}
        self.start = np.empty((slots, messages), np.int64)
        self.size = np.empty((slots, messages), np.int64)
        # Generous, as untouched memory costs nothing and growing copies: with 64 bytes a slot,
        # decisions among 40 strategies took 1.0 us each, with 128 they take 0.6 us.
        self.data = np.empty(128 * messages * slots, np.uint8)
        self._used = 0

    def __len__(self) -> int:
        """Number of messages."""
        return self.start.shape[1]

    def strings(self, slot: str, values: Spans) -> None:
        """UTF-8 text, written as JSON strings; null is missing."""
        start, size = self.add(slot)
        text_bytes = int(np.maximum(values.size, 0).sum())
        at = self.reserve(json_text.ESCAPE_BYTES_MAX * text_bytes + 2 * len(self))
        self._used = json_text.write_strings(
            values.data, values.start, values.size, self.data, at, start, size
        )

    def integers(self, slot: str, values: Int64s) -> None:
        """Whole numbers."""
        start, size = self.add(slot)
        at = self.reserve(json_text.INTEGER_BYTES_MAX * len(self))
        self._used = json_text.write_integers(values, self.data, at, start, size)

    def suffixes(self, slot: str, prefix: bytes, values: Int64s) -> None:
        """A prefix and a whole number, and no text at all where it is negative."""
        start, size = self.add(slot)
        room = len(prefix) + json_text.INTEGER_BYTES_MAX
        at = self.reserve(room * len(self))
        self._used = json_text.write_suffixes(
            np.frombuffer(prefix, np.uint8), values, self.data, at, start, size
        )

    def decimals(self, slot: str, values: Float64s) -> None:
        """Numbers with six decimals; what is not finite is missing."""
        start, size = self.add(slot)
        at = self.reserve(json_text.DECIMAL_BYTES_MAX * len(self))
        self._used = json_text.write_decimals(values, self.data, at, start, size)

    def times(self, slot: str, epoch_ms: Int64s) -> None:
        """Epoch milliseconds, written as RFC 3339 in UTC."""
        start, size = self.add(slot)
        at = self.reserve(json_text.TIME_BYTES_MAX * len(self))
        self._used = json_text.write_times(epoch_ms, self.data, at, start, size)

    def some_times(self, slot: str, epoch_ms: Int64s) -> None:
        """The same, 0 is missing."""
        if epoch_ms.any():
            self.times(slot, epoch_ms)
            self.omit(slot, epoch_ms == 0)
        else:
            self.add(slot)[1][:] = -1

    def choices(self, slot: str, table: Table, index: npt.NDArray[np.integer]) -> None:
        """The text of the table that each index names."""
        start, size = self.add(slot)
        at = self.reserve(len(table.data))
        self._used = at + len(table.data)
        self.data[at : self._used] = table.data
        np.add(table.start[index], at, out=start)
        size[:] = table.size[index]

    def lists(self, slot: str, table: Table, codes: npt.NDArray[np.int8]) -> None:
        """JSON lists: of each column the text [column, code], none where that text is empty.

        The texts of the table end with a comma. `codes` has shape (messages, columns).
        """
        start, size = self.add(slot)
        assert codes.shape == (len(self), len(table.size)), (codes.shape, table.size.shape)
        at = self.reserve(len(self) * (2 + int(table.size.max(axis=1, initial=0).sum())))
        self._used = json_text.write_lists(
            codes, table.data, table.start, table.size, self.data, at, start, size
        )

    def fractions(self, slot: str, numerator: Int64s) -> None:
        """Whole numbers out of 2**32, written as fractions of ten decimals."""
        start, size = self.add(slot)
        at = self.reserve(chance_text.FRACTION_BYTES * len(self))
        self._used = chance_text.write_fractions(numerator, self.data, at, start, size)

    def chances(self, slot: str, keys: Table, chances: Int64s) -> None:
        """Objects with a whole number of each column, those that are 0 left out; each row has one.

        The texts of the table are keys with their colons. `chances` has shape (messages, columns).
        """
        start, size = self.add(slot)
        assert chances.shape == (len(self), len(keys.size)), (chances.shape, keys.size.shape)
        longest = 2 + len(keys.data) + chance_text.CHANCE_BYTES_MAX * len(keys.size)
        at = self.reserve(longest * len(self))
        self._used = chance_text.write_chances(
            chances, keys.data, keys.start, keys.size, self.data, at, start, size
        )

    def retries(self, slot: str, keys: Table, epoch_ms: Int64s) -> None:
        """Objects with a time of each column, those that are 0 left out.

        The texts of the table are keys with their colons. `epoch_ms` has shape (messages, columns).
        """
        start, size = self.add(slot)
        assert epoch_ms.shape == (len(self), len(keys.size)), (epoch_ms.shape, keys.size.shape)
        entry_bytes = 1 + json_text.TIME_BYTES_MAX
        times = np.count_nonzero(epoch_ms, axis=0)
        longest = int((times * (keys.size + entry_bytes)).sum())
        at = self.reserve(longest + 3 * len(self))
        self._used = retry_text.write_retries(
            epoch_ms, keys.data, keys.start, keys.size, self.data, at, start, size
        )

    def omit(self, slot: str, missing: npt.NDArray[np.bool_]) -> None:
        """Values of a filled slot that are missing after all. Shape (messages,), bool."""
        self.size[self.row[slot]][missing] = -1

    def add(self, slot: str) -> tuple[Int64s, Int64s]:
        """Where `start` and `size` of a new slot are to be written."""
        assert slot not in self.row, f"slot {slot} is filled already"
        row = self.row[slot] = len(self.row)
        return self.start[row], self.size[row]

    def reserve(self, more_bytes: int) -> int:
        """Makes room at the end of the text and says where; `data` may be another array after."""
        end = self._used + more_bytes
        if end > len(self.data):
            grown = np.empty(max(2 * len(self.data), end), np.uint8)
            grown[: self._used] = self.data[: self._used]
            self.data = grown
        return self._used

    def extend(self, bytes_: int) -> int:
        """Takes that many bytes at the end of the text and says where they start."""
        at = self.reserve(bytes_)
        self._used = at + bytes_
        return at
