"""The frames of a schema registry's serializers: which schema each value was written by.

The frame is a zero byte and the id of the schema, 4 bytes, highest first; for Protobuf the indexes of
the message among those of its file follow: how many, then each, as zigzag varints, or one zero for
the first message. What two frames have in common is a group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from stream.columns import Bools, Bytes, Int64s, Spans
from stream.compiled.borrow import borrow
from stream.formats.varints import zigzag

ID_END = 5
"""Bytes of the frame up to the message indexes."""
NOT_FRAMED = -1
INDEXES_MAX = 32
"""Messages inside each other."""

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@dataclass(frozen=True, slots=True)
class Frames:
    """The frames of n values.

    Attributes:
        size: Bytes of each frame. Shape (n,), int64.
        group: Index of each value's group, NOT_FRAMED where there is none. Shape (n,), int64.
        first: A value of each group. Shape (groups,), int64.
    """

    size: Int64s
    group: Int64s
    first: Int64s


def find_frames(value: Spans, eligible: Bools, *, indexed: bool) -> Frames:
    """The frames of all eligible values, and their groups.

    Args:
        value: n values.
        eligible: The ones to look at; they are not null. Shape (n,), bool.
        indexed: Whether message indexes follow the id.
    """
    n = len(value)
    size, group = np.zeros(n, np.int64), np.full(n, NOT_FRAMED, np.int64)
    first = np.empty(n, np.int64)
    data = value.data.view()
    data.flags.writeable = False
    groups = _find(data, value.start, value.size, eligible, indexed, size, group, first)
    return Frames(size, group, first[:groups])


@_jit
def _find(
    data: Bytes, starts: Int64s, sizes: Int64s, eligible: Bools, indexed: bool,
    frame_size: Int64s, group: Int64s, first: Int64s,
) -> int:  # fmt: skip
    """Fills the last three; how many groups there are."""
    data = borrow(data)
    groups, latest = 0, 0
    for i in range(len(starts)):
        if not eligible[i]:
            continue
        size = _frame_size(data, starts[i], starts[i] + sizes[i], indexed)
        if size < 0:
            continue
        frame_size[i] = size
        for step in range(groups):
            known = (latest + step) % groups
            j = first[known]
            if frame_size[j] == size and _is_same(data, starts[i], starts[j], size):
                group[i] = latest = known
                break
        if group[i] < 0:
            first[groups] = i
            group[i] = latest = groups
            groups += 1
    return groups


@_jit
def _frame_size(data: Bytes, start: int, stop: int, indexed: bool) -> int:
    """Bytes of the frame at `start`, -1 if there is none."""
    if stop - start < ID_END or data[start] != 0:
        return -1
    at = start + ID_END
    if indexed:
        count, at = zigzag(data, at, stop)
        if at < 0 or count < 0 or count > INDEXES_MAX:
            return -1
        for _ in range(count):
            index, at = zigzag(data, at, stop)
            if at < 0 or index < 0:
                return -1
    return at - start


@_jit
def _is_same(data: Bytes, first: int, second: int, size: int) -> bool:
    k = 0
    while k < size and data[first + k] == data[second + k]:
        k += 1
    return k == size


def schema_ids(value: Spans, eligible: Bools) -> list[int]:
    """The ids that eligible values name, each once; arguments as in `find_frames`."""
    frames = find_frames(value, eligible, indexed=False)
    return [schema_id(value[first] or b"") for first in frames.first.tolist()]


def schema_id(frame: bytes) -> int:
    """The id that a frame says."""
    return int.from_bytes(frame[1:ID_END])


def message_indexes(frame: bytes) -> tuple[int, ...]:
    """The message that the frame of a Protobuf value says: index in its file, then in its parent."""
    numbers = []
    value = shift = 0
    for byte in frame[ID_END:]:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(value >> 1)
            value = shift = 0
    return tuple(numbers[1:]) or (0,)
