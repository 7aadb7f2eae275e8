"""Whether a record batch is what it says it is, and the error for one that is not.

Rules of this file
1. A count, size or offset of a header is used only after it was checked here, and no sum of foreign
   numbers may wrap.
2. Every refusal names topic, partition and offsets, and the line of the campaign file that goes on
   without them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import crc32c

from stream.errors import OperatorError
from stream.kafka import record_kernels as kernels
from stream.kafka.record_builder import CRC_START
from stream.kafka.skip_list import ReadRules

OFFSET_MAX = 2**63 - 2
"""The offset after it still is an int64."""

_CODEC_MAX = 4
_CHANGELOG = re.compile(r".*-customers-[0-9a-f]{12}-changelog")
_RECORD_FAULTS = {
    kernels.BAD_COUNT: "expected as many records as its bytes can hold, got a count of {count}",
    kernels.BAD_RECORD: "expected records of format v2, got something else from record {record} on",
    kernels.BAD_OFFSET: "expected offsets that rise within the batch, got others at record {record}",
    kernels.BAD_TIME: "expected timestamps of 64 bits, got a larger one at record {record}",
    kernels.BAD_END: "expected {count} records, got more bytes after them",
}


class CorruptRecords(OperatorError):
    """A fetched record batch fails its checksum or does not follow the format.

    Attributes:
        topic: Topic of the batch.
        partition: Its partition.
        first: First offset of the batch, as far as it can be told; none before the one asked for.
        last: Its last offset.
    """

    def __init__(self, message: str, topic: str, partition: int, first: int, last: int) -> None:
        super().__init__(message)
        self.topic = topic
        self.partition = partition
        self.first = first
        self.last = last

    def __reduce__(self) -> tuple[type[CorruptRecords], tuple[str, str, int, int, int]]:
        """It is made anew from all of its parts."""
        return type(self), (str(self), self.topic, self.partition, self.first, self.last)


class Fault(NamedTuple):
    """What is wrong with a batch.

    Attributes:
        what: What was expected and what came.
        act: What to try before its records are given up.
    """

    what: str
    act: str = "check the broker's disk and network, and who wrote the batch"


class Place(NamedTuple):
    """A partition, and what its reader keeps to."""

    topic: str
    partition: int
    rules: ReadRules

    def refuse(self, fault: Fault, first: int, last: int) -> CorruptRecords:
        """The error for a batch of the offsets first to last."""
        topic, partition, rules = self
        text = (
            f"{topic}/{partition}: {fault.what}, at offset {first} (the batch ends with offset "
            f"{last}). Operator action: {fault.act}"
        )
        if _CHANGELOG.fullmatch(topic):
            text += (
                "; if it stays so, stop the worker, delete this topic, start again: the table is "
                "rebuilt from the event topics"
            )
        elif not rules.topics or topic in rules.topics:
            text += (
                "; to go on without these records, set in [topics] of the campaign file: "
                + rules.line_with(topic, partition, first, last)
            )
        return CorruptRecords(text, topic, partition, first, last)


def header_fault(row: list[int], data: bytes, earliest: int) -> Fault | None:
    """What is wrong with a batch by its header and checksum, None if nothing is.

    Args:
        row: Its row of `kernels.read_headers`.
        data: The fetch response.
        earliest: Offset after the batch before it.
    """
    base, delta, count = row[kernels.BASE_OFFSET], row[kernels.LAST_DELTA], row[kernels.COUNT]
    if row[kernels.MAGIC] != kernels.MAGIC_V2:
        return old_format(row[kernels.MAGIC])
    found = crc32c.crc32c(memoryview(data)[row[kernels.START] + CRC_START : row[kernels.STOP]])
    if found != row[kernels.CRC]:
        return Fault(
            f"expected checksum {row[kernels.CRC]:#010x}, got {found:#010x}",
            "check the broker's disk and network",
        )
    if base < earliest or delta < 0 or base > OFFSET_MAX - delta:
        return Fault(f"expected offsets from {earliest} on, got {base} and {delta} after it")
    if count < 0 or count > delta + 1:
        return Fault(f"expected 0 to {delta + 1} records, got a count of {count}")
    codec = row[kernels.ATTRIBUTES] & kernels.CODEC_MASK
    if codec > _CODEC_MAX:
        return Fault(f"expected compression codec 0 to {_CODEC_MAX}, got {codec}")
    return None


def old_format(magic: int) -> Fault:
    """The fault of a batch that is not format v2."""
    return Fault(
        f"expected record format v2, got v{magic} (written before Kafka 0.11)",
        "copy the topic with a current client",
    )


def tail_fault(data: bytes, at: int) -> Fault | None:
    """What is wrong with the bytes after the last whole batch; None when they are a part of one."""
    if len(data) - at < kernels.LENGTH_BYTES:
        return None
    size = kernels.LENGTH_BYTES + int.from_bytes(data[at + 8 : at + 12], "big", signed=True)
    if len(data) - at > kernels.MAGIC_AT and data[at + kernels.MAGIC_AT] != kernels.MAGIC_V2:
        return old_format(data[at + kernels.MAGIC_AT])
    if size < kernels.HEADER_BYTES:
        return Fault(f"expected a batch of {kernels.HEADER_BYTES} bytes or more, got {size}")
    if at == 0:  # the broker sends one whole batch at least, whatever its size
        return Fault(f"expected a whole batch of {size} bytes, got {len(data)}")
    return None


def record_fault(why: int, record: int, count: int) -> Fault:
    """What `kernels.read_records` has found."""
    return Fault(_RECORD_FAULTS[why].format(record=record, count=count))


def claimed_offsets(
    row: list[int], earliest: int, position: int, following: list[int] | None
) -> tuple[int, int]:
    """First and last offset of a broken batch, as far as they can be told.

    Args:
        row: The batch.
        earliest: Offset after the batch before it.
        position: Offset that is to be read next, and where a batch is taken to begin that claims an
            impossible place.
        following: The next batch of the response, if there is one: a batch ends before it.
    """
    base = row[kernels.BASE_OFFSET]
    if not earliest <= base <= OFFSET_MAX:
        base = position
    last = base + max(row[kernels.LAST_DELTA], 0)
    if following is not None and following[kernels.BASE_OFFSET] > base:
        last = min(last, following[kernels.BASE_OFFSET] - 1)
    return base, max(min(last, OFFSET_MAX), base)
