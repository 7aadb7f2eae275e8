"""What leaves because of a turn, and what is noted when the broker has all of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from stream.campaign.topics_section import Topics
from stream.pipeline import Step
from stream.worker.counting.telemetry import Window
from stream.worker.partition.block import Block
from stream.worker.publisher import Announcement, Outgoing


def outgoing(
    block: Block, steps: Sequence[Step], announcement: Announcement | None, topics: Topics,
    window: Window,
) -> Outgoing:  # fmt: skip
    """The results of a turn.

    Args:
        block: Its partition, which learns how far it has come in the decision topic.
        steps: What came of its chunks.
        announcement: What is durable before.
        topics: Of the campaign.
        window: Learns how long it took.
    """
    decisions = [(topics.decisions, batch) for step in steps for batch in step.decisions]
    letters = [(topics.dead_letter, batch) for step in steps for batch in step.dead_letters]
    sent_s = time.perf_counter()

    def acknowledged(told: Sequence[Any]) -> None:
        for (_, batch), where in zip(decisions, told, strict=False):
            block.decisions.acknowledged(int(where.offset) + batch.records)
        now_ms = time.time_ns() / 1e6
        window.ack_ms.add_ms(np.array([(time.perf_counter() - sent_s) * 1e3]))
        for step in steps:
            window.end_to_end_ms.add_ms(now_ms - step.received_ms)

    return Outgoing(announcement, [*decisions, *letters], acknowledged)
