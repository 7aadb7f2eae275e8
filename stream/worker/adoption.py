"""What an earlier owner of a partition has published, and no marker covers yet: read before it begins.

An engine may have seen these decisions. So they are taken as they are, whatever model, campaign file or
clock this worker has, and not published again: they are there.
"""

from __future__ import annotations

from stream.campaign.file import Campaign
from stream.decisions.published import PublishedDecisions
from stream.log import log_event
from stream.worker.partition.block import Block
from stream.worker.partition.decision_log import DecisionLog
from stream.worker.shell import Shell

_LOOKED_BACK = 65_536
"""So many decisions in a row about events that are covered: what stands before them is covered, too. More
than a worker has on its way that has lost a partition and does not know it."""


class Adoption:
    """Reads the decision topic.

    Args:
        campaign: The campaign file.
        shell: The app.
    """

    def __init__(self, campaign: Campaign, shell: Shell) -> None:
        self._campaign = campaign
        self._topic = campaign.topics.decisions
        self._shell = shell

    async def read(self, partition: int, block: Block) -> None:
        """Gives a partition that begins what was published about events that it has yet to take."""
        end = await self._shell.end(self._topic, partition)
        earliest = min(await self._shell.earliest(self._topic, partition), end)
        known = block.progress.decided
        if known is not None and known <= end:
            begin = max(known, earliest)
            read, _ = await self._read(partition, block, begin, end)
        else:  # before the first marker, after one of an earlier version, or the topic is another
            begin, read = await self._look_back(partition, block, earliest, end)
        found = dict(read.found())
        block.decisions = DecisionLog(begin, end, found)
        adopted = sum(len(published.place) for published in found.values())
        if adopted:
            log_event(
                "adopted", tp=f"{self._topic}/{partition}", decisions=adopted, offset=begin,
                until=end, foreign=read.foreign,
            )  # fmt: skip
        if not found:
            block.decisions.begin = end
        block.progress.decided = block.decisions.begin

    async def _look_back(
        self, partition: int, block: Block, earliest: int, end: int
    ) -> tuple[int, PublishedDecisions]:
        """Reads from so far back that nothing before is about events that are not covered."""
        back = 2 * _LOOKED_BACK
        while True:
            begin = max(earliest, end - back)
            read, first = await self._read(partition, block, begin, end)
            if begin == earliest or first >= begin + _LOOKED_BACK:
                return begin, read
            back *= 2

    async def _read(
        self, partition: int, block: Block, begin: int, end: int
    ) -> tuple[PublishedDecisions, int]:
        """What there is between two offsets, and the first of them that is about what is not covered."""
        undecided = {
            topic: max(offset, block.silent_until.get(topic, 0))
            for topic, offset in block.position.items()
        }
        read, first = PublishedDecisions(self._campaign, undecided), end
        if begin < end:
            async for chunk in self._shell.read(self._topic, partition, begin, end):
                beyond = read.read(chunk)
                if beyond.any():
                    first = min(first, int(chunk.offset[beyond][0]))
        return read, first
