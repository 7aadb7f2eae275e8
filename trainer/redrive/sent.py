"""Which letters were sent before: a file of ranges of offsets, so that none is sent twice.

A letter is in the file once its record was acknowledged. A crash in between sends the last few again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from trainer.errors import TrainingError


class _File(msgspec.Struct, forbid_unknown_fields=True):
    topic: str
    sent: dict[int, list[tuple[int, int]]]


class SentLetters:
    """The letters of one dead-letter topic that were sent.

    Args:
        path: The file; it need not be there.
        topic: The dead-letter topic.

    Raises:
        TrainingError: The file is of another topic, or cannot be read.
    """

    def __init__(self, path: Path, topic: str) -> None:
        self._path, self._topic = path, topic
        self._ranges: dict[int, list[tuple[int, int]]] = {}
        try:
            found = msgspec.json.decode(path.read_bytes(), type=_File)
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as exc:
            raise TrainingError(
                f"{path}: expected the letters that were sent before, {exc}. Operator action: name "
                "another file with --sent, or delete this one to begin with the first letter"
            ) from exc
        if found.topic != topic:
            raise TrainingError(
                f"{path}: expected letters of {topic}, got those of {found.topic}. Operator action: "
                "name another file with --sent"
            )
        self._ranges = found.sent

    def __len__(self) -> int:
        return sum(end - first for ranges in self._ranges.values() for first, end in ranges)

    def has(self, partition: int, offset: int) -> bool:
        """Whether a letter was sent."""
        return any(first <= offset < end for first, end in self._ranges.get(partition, ()))

    def expect_within(self, ends: Mapping[int, int]) -> None:
        """Refuses a topic that ends before a letter that was sent: it was created anew.

        Raises:
            TrainingError: It does.
        """
        for partition, ranges in self._ranges.items():
            if ranges and ranges[-1][1] > ends.get(partition, 0):
                raise TrainingError(
                    f"expected {self._topic}/{partition} to reach to offset {ranges[-1][1]}, as "
                    f"{self._path} says, got its end at {ends.get(partition, 0)}: the topic was "
                    "created anew. Operator action: delete the file to begin with the first letter"
                )

    def add(self, letters: Iterable[tuple[int, int]]) -> None:
        """Notes letters, each a partition and an offset, in the file.

        Raises:
            TrainingError: The file cannot be written.
        """
        for partition, offset in letters:
            ranges = [*self._ranges.get(partition, []), (offset, offset + 1)]
            self._ranges[partition] = _joined(sorted(ranges))
        written = self._path.with_name(f"{self._path.name}.new")
        try:
            with written.open("wb") as file:
                file.write(msgspec.json.encode(_File(self._topic, self._ranges)))
                file.flush()
                os.fsync(file.fileno())
            written.replace(self._path)
        except OSError as exc:
            raise TrainingError(
                f"expected to note in {self._path} what was sent: {exc.strerror or exc}. Operator "
                "action: make room there, or name another file with --sent; the last letters would "
                "be sent again"
            ) from exc


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Rising ranges without those that touch."""
    out: list[tuple[int, int]] = []
    for first, end in ranges:
        if out and first <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((first, end))
    return out
