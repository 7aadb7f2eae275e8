"""What an operator looks at of a running worker."""

from __future__ import annotations

from typing import Protocol

from stream.campaign.file import Campaign
from stream.kafka.skip_report import SkipCount
from stream.worker.processor import Processor


class Watched(Protocol):
    """A running worker, as its lines and its watchdog see it."""

    @property
    def campaign(self) -> Campaign:
        """The campaign file."""

    @property
    def bootstrap(self) -> str:
        """Kafka address."""

    @property
    def processor(self) -> Processor:
        """What happens to a chunk."""

    @property
    def skips(self) -> SkipCount:
        """Counts what the skip list leaves out."""

    @property
    def consumer_generation_id(self) -> int:
        """Present generation of the consumer group."""

    @property
    def stop_reason(self) -> str:
        """Why it ends: "asked", "refused" or "crash"."""

    @property
    def should_stop(self) -> bool:
        """Whether it is to end."""

    def highwater(self, topic: str, partition: int) -> int | None:
        """Offset up to which a partition can be read, None while it is not known."""

    def log_ends(self, topic: str, partition: int) -> tuple[int, int] | None:
        """The same, and the offset after the last record."""

    async def sleep(self, n: float, /) -> None:
        """Waits for seconds, or until the worker stops."""


def lags_by_partition(worker: Watched) -> dict[str, int]:
    """Records between the position of each assigned event partition and its end."""
    lags = {}
    for partition, block in worker.processor.blocks:
        for topic, position in block.position.items():
            highwater = worker.highwater(topic, partition)
            if highwater is not None:
                lags[f"{topic}/{partition}"] = max(0, highwater - position)
    return lags


def ends_by_partition(worker: Watched) -> dict[str, tuple[int, int]]:
    """Of each assigned event partition the end of what can be read, and of what is there."""
    found = {
        f"{topic}/{partition}": worker.log_ends(topic, partition)
        for partition, block in worker.processor.blocks
        for topic in block.position
    }
    return {tp: ends for tp, ends in found.items() if ends is not None}
