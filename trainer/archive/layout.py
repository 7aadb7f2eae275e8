"""What a file of the archive is called, and what that says. Pure: names and facts, no I/O.

    <root>/archive.json
    <root>/<topic>/date=YYYY-MM-DD/bucket=NN/<partition>-<first>-<next>-<k>of<n>.parquet

One flush holds the offsets [first, next) of one partition, in n files: one for each UTC day and each
bucket of customers that it has records of.

Rules of this file
1. The n-th file is written last, when the others are durable. With it a flush exists; without it, it
   was never finished.
2. The flushes of a partition follow each other without a hole. Offsets that have no record were never
   one, were lost to retention before they were archived, or were skipped: the files say which.
3. A flush takes the place of those whose offsets are all within its own: it is what compaction has
   made of them. What is left of them does not count.
4. Names, facts and buckets never change their meaning: `FORMAT` counts up instead. What a file holds
   has a number of its own, `FILE_FORMAT`: files of all formats may stand beside each other.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import msgspec

from trainer.errors import TrainingError

FORMAT = 1
FILE_FORMAT = 2
"""Of the files that are written: 1 has no column of headers, which stand in 2."""
FACTS = b"opportune"
"""Key in the metadata of a Parquet file under which its `Facts` stand, as JSON."""

_NAME = re.compile(
    r"date=(\d{4}-\d\d-\d\d)/bucket=(\d\d)/(\d{1,10})-(\d{20})-(\d{20})-(\d+)of(\d+)\.parquet"
)
_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1).toordinal()
FIRST_DAY, LAST_DAY = date.min.toordinal() - _EPOCH, date.max.toordinal() - _EPOCH
"""Days since 1970 that have a name; earlier and later record timestamps stand in these."""


@dataclass(frozen=True, slots=True)
class FileName:
    """One of the n files of a flush.

    Attributes:
        day: UTC day of its records' timestamps, YYYY-MM-DD.
        bucket: Bucket of its customers.
        partition: Partition of the topic.
        first: First offset that the flush covers.
        next: Offset after the last that it covers.
        k: Which of the files this is, from 1 on, in the order of days and buckets.
        n: How many there are.
    """

    day: str
    bucket: int
    partition: int
    first: int
    next: int
    k: int
    n: int

    @property
    def path(self) -> str:
        """Below the folder of its topic."""
        return (
            f"date={self.day}/bucket={self.bucket:02}/"
            f"{self.partition}-{self.first:020}-{self.next:020}-{self.k}of{self.n}.parquet"
        )

    def contains(self, other: FileName) -> bool:
        """Whether the records of another file are some of its own."""
        is_longer = self.next - self.first > other.next - other.first
        return (
            is_longer
            and (self.partition, self.day, self.bucket)
            == (other.partition, other.day, other.bucket)
            and self.first <= other.first
            and other.next <= self.next
        )

    @classmethod
    def parse(cls, path: str) -> FileName | None:
        """The name that a path below the folder of a topic is, None for another file."""
        match = _NAME.fullmatch(path)
        return None if match is None else cls(match[1], *map(int, match.groups()[1:]))


class Facts(msgspec.Struct, frozen=True):
    """What a file says about itself, so that it cannot be taken for another.

    Attributes:
        format: `FILE_FORMAT` of who wrote it.
        topic: Kafka topic.
        partition: As in its name, like first_offset, next_offset, day, bucket, k and n.
        buckets: Number of buckets of the archive.
        rows: Number of records in the file.
        lost: Offsets [from, to) of the flush that retention removed before they were archived.
        skipped: Offsets [from, to) of the flush that the campaign file leaves out (`topics.skip`);
            not there when there are none.
        headerless: Offsets [from, to) of the flush that were archived by a version that kept no headers;
            not there when there are none.
    """

    format: int
    topic: str
    partition: int
    first_offset: int
    next_offset: int
    day: str
    bucket: int
    buckets: int
    k: int
    n: int
    rows: int = 0
    lost: tuple[tuple[int, int], ...] = ()
    skipped: tuple[tuple[int, int], ...] | msgspec.UnsetType = msgspec.UNSET
    headerless: tuple[tuple[int, int], ...] | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, topic: str, name: FileName, buckets: int) -> Facts:
        """What a name says."""
        return cls(
            FILE_FORMAT, topic, name.partition, name.first, name.next, name.day, name.bucket, buckets,
            name.k, name.n,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Flush:
    """Offsets [first, next) of one partition, in all of their files.

    Attributes:
        partition: Partition of the topic.
        first: First offset.
        next: Offset after the last.
        files: All n files in the order of k.
    """

    partition: int
    first: int
    next: int
    files: tuple[FileName, ...]


@dataclass(frozen=True, slots=True)
class Survey:
    """What is there of one topic.

    Attributes:
        flushes: The whole flushes of each partition, in the order of offsets, without a hole.
        unfinished: Files of flushes that have not got their last file (yet).
        replaced: Files of flushes in whose place there is a longer one.
    """

    flushes: dict[int, list[Flush]]
    unfinished: list[FileName]
    replaced: list[FileName]

    def end(self, partition: int) -> int:
        """Offset after the last one of a partition that is archived, 0 when none is."""
        return max((flush.next for flush in self.flushes.get(partition, ())), default=0)

    @property
    def may_miss_the_beginning(self) -> bool:
        """Whether something unfinished may be the oldest flush, seen while it was being merged."""
        return any(
            name.partition not in self.flushes or name.first < self.flushes[name.partition][0].first
            for name in self.unfinished
        )


def survey(topic: str, names: Iterable[FileName]) -> Survey:
    """Puts the files of one topic together.

    Raises:
        TrainingError: Files of a finished flush are missing, or all of one.
    """
    groups: dict[tuple[int, int, int, int], list[FileName]] = defaultdict(list)
    for name in names:
        groups[name.partition, name.first, name.next, name.n].append(name)
    flushes: dict[int, list[Flush]] = defaultdict(list)
    found = Survey(flushes, [], [])
    # Of flushes that begin at one offset the longest comes first.
    for key, files in sorted(groups.items(), key=lambda group: (*group[0][:2], -group[0][2])):
        partition, first, next_, n = key
        files.sort(key=lambda name: name.k)
        there = [name.k for name in files]
        if _is_within(first, next_, flushes.get(partition, [])):
            found.replaced.extend(files)
        elif there == list(range(1, n + 1)):
            flushes[partition].append(Flush(partition, first, next_, tuple(files)))
        elif n not in there:
            found.unfinished.extend(files)
        else:
            raise TrainingError(
                f"expected {n} files of the offsets {first} to {next_} of {topic}/{partition} in "
                f"the archive, got the files {there}. Put back what was removed by hand; records "
                "are deleted with `opportune erase`"
            )
    for partition, chain in flushes.items():
        _expect_no_hole(topic, partition, chain)
    return Survey(dict(flushes), found.unfinished, found.replaced)


def _is_within(first: int, next_: int, chain: list[Flush]) -> bool:
    """Whether offsets are some of those of one of the flushes that begin before, or with them.

    No flush is within another, so the last one reaches furthest.
    """
    if not chain:
        return False
    last = chain[-1]
    return next_ <= last.next and (first, next_) != (last.first, last.next)


def _expect_no_hole(topic: str, partition: int, chain: list[Flush]) -> None:
    """Flushes may overlap, when two have archived at once, but leave nothing out."""
    end = chain[0].first
    for flush in chain:
        if flush.first > end:
            raise TrainingError(
                f"expected the offsets {end} to {flush.first} of {topic}/{partition} in the "
                "archive, their files are missing. Put back what was removed by hand; records are "
                "deleted with `opportune erase`"
            )
        end = max(end, flush.next)


def day_name(day: int) -> str:
    """YYYY-MM-DD of a number of days since 1970, from `FIRST_DAY` to `LAST_DAY`."""
    return date.fromordinal(day + _EPOCH).isoformat()


def day_of(time_ms: int) -> str:
    """The UTC day of epoch milliseconds, YYYY-MM-DD."""
    return day_name(min(max(time_ms // _DAY_MS, FIRST_DAY), LAST_DAY))


def bucket_of(key: bytes | None, buckets: int) -> int:
    """The bucket of a customer: FNV-1a of the record key, mixed, modulo the number of buckets.

    64-bit FNV-1a, then the first steps of the finalizer of MurmurHash3, so that the low bits depend
    on all of the key: h ^= h >> 33, h *= 0xFF51AFD7ED558CCD, h ^= h >> 33. It has nothing in common
    with the hashes by which producers choose partitions. No key is bucket 0.
    """
    if not key:
        return 0
    mask = 0xFFFF_FFFF_FFFF_FFFF
    value = 0xCBF29CE484222325
    for byte in key:
        value = (value ^ byte) * 0x100000001B3 & mask
    value ^= value >> 33
    value = value * 0xFF51AFD7ED558CCD & mask
    return (value ^ value >> 33) % buckets
