"""What of a delivered chunk may be taken now: what goes on where its partition was left."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from stream.columns import RecordChunk, split
from stream.log import log_event
from stream.worker.partition.block import Block
from stream.worker.shell import Shell


class Admitted(NamedTuple):
    """What may be taken.

    Attributes:
        chunk: The chunk, or a part of one.
        message: What it came with.
    """

    chunk: RecordChunk
    message: Any


class Intake:
    """Admits what continues a partition, and has what is missing read again.

    Args:
        shell: The app.
    """

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def admit(self, block: Block, message: Any) -> Admitted | None:
        """What of a chunk may be taken now; None for nothing.

        Args:
            block: The state of its partition.
            message: Its value is a `RecordChunk`, its offset the one that the chunk starts at.
        """
        chunk: RecordChunk = message.value
        await self._look_for_the_quiet(block, chunk)
        expected = block.expected.get(chunk.topic)
        if expected is None or chunk.next_offset <= expected:
            return None
        if block.replay.is_full(chunk.topic):
            block.waiting.add(chunk.topic)
            self._shell.pause(chunk.topic, chunk.partition)
            return None
        if message.offset > expected:
            await self._read_again(block, chunk, message.offset)
            return None
        return Admitted(split(chunk, expected)[1], message)

    async def release(self, block: Block, partition: int) -> None:
        """Has topics read on that waited until the others had come up."""
        for topic in sorted(block.waiting & block.expected.keys()):
            if block.replay.has_room(topic):
                block.waiting.discard(topic)
                await self._shell.rewind(topic, partition, block.expected[topic])

    async def _look_for_the_quiet(self, block: Block, chunk: RecordChunk) -> None:
        """Asks once for topics that may be waited for in vain: retention may have left nothing."""
        for topic in block.awaited(chunk.topic):
            block.asked.add(topic)
            earliest = await self._shell.earliest(topic, chunk.partition)
            if earliest > block.expected.get(topic, earliest):
                _skip(block, topic, chunk.partition, earliest)

    async def _read_again(self, block: Block, chunk: RecordChunk, start: int) -> None:
        expected = block.expected[chunk.topic]
        resumed = await self._shell.rewind(chunk.topic, chunk.partition, expected)
        if resumed > expected:
            _skip(block, chunk.topic, chunk.partition, resumed)
        else:
            tp = f"{chunk.topic}/{chunk.partition}"
            log_event("read_again", tp=tp, offset=expected, instead_of=start)


def _skip(block: Block, topic: str, partition: int, resumed: int) -> None:
    """Goes on at the first offset that retention has left."""
    tp = f"{topic}/{partition}"
    expected = block.expected.get(topic)
    if expected is None:
        return  # revoked meanwhile
    read = max(expected, block.silent_until.get(topic, 0))
    if 0 < read < resumed:
        reason = "retention removed events that were not read yet"
        log_event("lost", level=logging.ERROR, tp=tp, offset=read, until=resumed, reason=reason)
    else:
        log_event("aged_out", tp=tp, offset=resumed, reason="retention has left nothing before it")
    block.skip(topic, resumed)
