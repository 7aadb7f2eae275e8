"""What is in work of each partition: its way out, and the chunks since the last checkpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from stream.worker.publisher import Lane
from stream.worker.shell import Shell


@dataclass(slots=True)
class Work:
    """A partition in work.

    Attributes:
        lane: Its way out.
        messages: Chunks computed and not yet durable, in order.
        checkpoint: The last one that was begun.
    """

    lane: Lane
    messages: list[Any] = field(default_factory=list)
    checkpoint: asyncio.Task[None] | None = None


class Works:
    """The partitions in work, by number.

    Args:
        shell: The app.
    """

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._works: dict[int, Work] = {}

    def of(self, partition: int, changelog_next: int = 0) -> Work:
        """What is in work of a partition; from now on it is in work.

        Args:
            partition: Which.
            changelog_next: Offset that its next changelog record gets if nobody else writes there.
        """
        if partition not in self._works:
            lane = Lane(partition, self._shell.send, self._shell.fail, changelog_next)
            self._works[partition] = Work(lane)
        return self._works[partition]

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._works))

    def pending(self) -> int:
        """Chunks computed and not yet durable."""
        return sum(len(work.messages) for work in self._works.values())

    async def close(self) -> int:
        """Gives everything up; tells how many chunks that were."""
        pending = self.pending()
        closing, self._works = self._works, {}  # a checkpoint that begins now finds none of them
        for work in closing.values():
            if work.checkpoint is not None:
                work.checkpoint.cancel()
        for work in closing.values():
            await work.lane.close()
        return pending
