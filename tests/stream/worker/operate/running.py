"""A running worker as operators see it, without Kafka."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import msgspec

from stream.campaign.file import Campaign
from stream.kafka.skip_report import SkipCount
from stream.worker.processor import Processor
from tests.stream.worker.processor_harness import CAMPAIGN


def campaign(summary_interval_s: float = 10.0, stuck_after_s: float = 10.0) -> Campaign:
    """The campaign of the harness with other times, also such as no file may name."""
    spec = msgspec.structs.replace(
        CAMPAIGN.worker, summary_interval_s=summary_interval_s, stuck_after_s=stuck_after_s
    )
    return msgspec.structs.replace(CAMPAIGN, worker=spec)


@dataclass
class Running:
    """See `stream.worker.operate.watched.Watched`; it stops after some sleeps."""

    processor: Processor
    campaign: Campaign = field(default_factory=campaign)
    bootstrap: str = "localhost:1"
    skips: SkipCount = field(default_factory=SkipCount)
    consumer_generation_id: int = 1
    stop_reason: str = "asked"
    sleeps: int = 1
    ends: dict[str, int | None] = field(default_factory=dict)

    @property
    def should_stop(self) -> bool:
        return self.sleeps <= 0

    def highwater(self, topic: str, partition: int) -> int | None:
        return self.ends.get(f"{topic}/{partition}")

    def log_ends(self, topic: str, partition: int) -> tuple[int, int] | None:
        end = self.ends.get(f"{topic}/{partition}")
        return None if end is None else (end, end)

    async def sleep(self, n: float, /) -> None:
        self.sleeps -= 1
        await asyncio.sleep(n)
