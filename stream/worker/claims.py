"""Who may decide in which order topics are taken: one worker at a time, told by the changelog itself.

With several event topics a worker announces which topic it takes, in a marker, before the decisions
leave. Two may believe that a partition is theirs: one that has it, and one that has lost it and does not
know yet. Where an announcement comes to stand tells them: after the own record before it, if nobody else
has written. Otherwise the records between are read.

| a marker of another generation | before the first own announcement | later |
| --- | --- | --- |
| older | it was not restored: what it announces was maybe decided | late, and its writer will see ours |
| newer | the partition was lost | the partition was lost |

In the three bad cases nothing is published any more, and the worker joins the group again: who then gets
the partition restores it, with all that was announced. So of two workers one at most publishes decisions
in an order that the other does not know of.
"""

from __future__ import annotations

import logging
from functools import partial

from stream.kafka.records import RecordBatch
from stream.log import log_event
from stream.worker.changelog_encoder import ChangelogEncoder
from stream.worker.partition.block import Block
from stream.worker.partition.blocks import Blocks
from stream.worker.publisher import Announcement
from stream.worker.shell import Shell


class Claims:
    """Makes announcements, and looks at what stands before them.

    Args:
        blocks: State by partition.
        changelog: Encodes markers.
        shell: The app.
    """

    def __init__(self, blocks: Blocks, changelog: ChangelogEncoder, shell: Shell) -> None:
        self._blocks = blocks
        self._changelog = changelog
        self._shell = shell

    def announcement(self, partition: int, block: Block) -> Announcement:
        """The order that is known of a partition when it is the turn of the marker."""

        def make() -> list[RecordBatch]:
            return self._changelog.marker(block)[1]

        confirmed = partial(self._confirmed, partition, block)
        return Announcement(self._changelog.topic, make, confirmed)

    async def _confirmed(self, partition: int, block: Block, offset: int, alone: bool) -> bool:
        """Whether the decisions may leave whose order stands at an offset of the changelog."""
        topic = self._changelog.topic
        if not alone:
            first = block.changelog_end + 1
            async for chunk in self._shell.read(topic, partition, first, offset):
                block.hear_markers(chunk)
        if self._blocks.get(partition) is not block:
            return False
        if block.is_contested:
            log_event(
                "contested", level=logging.WARNING, partition=partition, offset=offset,
                generation=block.progress.generation,
                reason="another worker has announced in which order topics are taken",
            )  # fmt: skip
            self._shell.rejoin()
            return False
        block.has_claimed = True
        return True
