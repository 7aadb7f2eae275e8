"""The frames of a schema registry's serializers: which schema each value was written by.

The frame is a zero byte and the id of the schema, 4 bytes, highest first; for Protobuf the indexes of
the message among those of its file follow: how many, then each, as zigzag varints, or one zero for
the first message. It stands before the value, or alone in a header of the record, which wins; there it
may also be a one and the GUID of the schema, 16 bytes. What two frames have in common is a group.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import numba
import numpy as np

from stream.columns import Bools, Bytes, Int64s, Spans
from stream.compiled.borrow import borrow
from stream.formats.port import SchemaKey
from stream.formats.varints import zigzag
from stream.kafka.headers import last_contents

HEADER = "__value_schema_id"
"""Header with the frame of a value that has none before it."""
ID_END, GUID_END = 5, 17
"""Bytes of the frame up to the message indexes, by what it names the schema."""
NOT_FRAMED = -1
INDEXES_MAX = 32
"""Messages inside each other."""

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@dataclass(frozen=True, slots=True)
class Frames:
    """The frames of n values.

    Attributes:
        size: Bytes of each frame before its value, 0 where it stands in a header. Shape (n,), int64.
        group: Index of each value's group, NOT_FRAMED where there is none. Shape (n,), int64.
        frames: The frame of each group.
        in_header: Whose frame is looked for in a header. Shape (n,), bool.
    """

    size: Int64s
    group: Int64s
    frames: list[bytes]
    in_header: Bools


def find_frames(
    value: Spans, eligible: Bools, *, indexed: bool, headers: Spans | None = None
) -> Frames:
    """The frames of all eligible values, and their groups.

    Args:
        value: n values.
        eligible: The ones to look at; they are not null. Shape (n,), bool.
        indexed: Whether message indexes follow the id.
        headers: As in `RecordChunk.headers`.
    """
    content = None if headers is None else last_contents(headers, HEADER.encode())
    if content is None or not (content.size >= 0).any():
        return _frames(value, eligible, np.zeros(len(value), np.bool_), indexed=indexed)
    in_header = eligible & (content.size >= 0)
    before = _frames(value, eligible & ~in_header, in_header, indexed=indexed)
    beside = _frames(content, in_header, in_header, indexed=indexed, is_header=True)
    is_beside = beside.group != NOT_FRAMED
    group = np.where(is_beside, beside.group + len(before.frames), before.group)
    return Frames(before.size, group, before.frames + beside.frames, in_header)


def _frames(
    content: Spans, eligible: Bools, in_header: Bools, *, indexed: bool, is_header: bool = False
) -> Frames:
    """The frames that eligible contents begin with."""
    n = len(content)
    size, group = np.zeros(n, np.int64), np.full(n, NOT_FRAMED, np.int64)
    first = np.empty(n, np.int64)
    data = content.data.view()
    data.flags.writeable = False
    groups = _find(
        data, content.start, content.size, eligible, indexed, is_header, size, group, first
    )
    frames = [(content[i] or b"")[: size[i]] for i in first[:groups].tolist()]
    return Frames(size, group, frames, in_header)


@_jit
def _find(
    data: Bytes, starts: Int64s, sizes: Int64s, eligible: Bools, indexed: bool, is_header: bool,
    frame_size: Int64s, group: Int64s, first: Int64s,
) -> int:  # fmt: skip
    """Fills the last three; how many groups there are."""
    data = borrow(data)
    groups, latest = 0, 0
    for i in range(len(starts)):
        if not eligible[i]:
            continue
        size = _frame_size(data, starts[i], starts[i] + sizes[i], indexed, is_header)
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
def _frame_size(data: Bytes, start: int, stop: int, indexed: bool, is_header: bool) -> int:
    """Bytes of the frame at `start`, -1 if there is none; GUIDs stand in headers alone."""
    if stop == start or data[start] > int(is_header):
        return -1
    at = start + (ID_END if data[start] == 0 else GUID_END)
    if at > stop:
        return -1
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


def schema_keys(value: Spans, eligible: Bools, headers: Spans | None) -> list[SchemaKey]:
    """The schemas that eligible values name, each once; arguments as in `find_frames`."""
    frames = find_frames(value, eligible, indexed=False, headers=headers).frames
    return list(dict.fromkeys(map(schema_key, frames)))


def schema_key(frame: bytes) -> SchemaKey:
    """The schema that a frame names."""
    if frame[:1] == b"\0":
        return int.from_bytes(frame[1:ID_END])
    return str(UUID(bytes=frame[1:GUID_END]))


def message_indexes(frame: bytes) -> tuple[int, ...]:
    """The message that the frame of a Protobuf value says: index in its file, then in its parent."""
    numbers = []
    value = shift = 0
    for byte in frame[ID_END if frame[:1] == b"\0" else GUID_END :]:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(value >> 1)
            value = shift = 0
    return tuple(numbers[1:]) or (0,)
