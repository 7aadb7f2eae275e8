"""What shards hold, for tests."""

from __future__ import annotations

from typing import Any

import msgspec

from stream.campaign.file import Campaign, parse
from tests.trainer.shop_history import CAMPAIGN
from trainer.replay.shards import Shards
from trainer.replay.spill import Shard
from trainer.replay.timeline import Timeline


def learning_from_decisions(**training: Any) -> Campaign:
    campaign = parse(CAMPAIGN)
    spec = msgspec.structs.replace(campaign.training, learn_from="decisions", **training)
    return msgspec.structs.replace(campaign, training=spec)


def with_memory(campaign: Campaign, memory_mb: int) -> Campaign:
    training = msgspec.structs.replace(campaign.training, memory_mb=memory_mb)
    return msgspec.structs.replace(campaign, training=training)


def told(timeline: Timeline) -> list[tuple[object, ...]]:
    """The events of a timeline with all that is known of them."""
    return list(
        zip(
            timeline.topic.tolist(),
            timeline.offset.tolist(),
            timeline.time_ms.tolist(),
            timeline.type_code.tolist(),
            [timeline.table.key(row) for row in timeline.row],
            *(number.tolist() for number in timeline.number),
            *(category.tolist() for category in timeline.category),
            strict=True,
        )
    )


def all_timelines(shards: Shards) -> dict[Shard, Timeline]:
    return {shard: shards.timeline(shard) for shard in shards.shards()}
