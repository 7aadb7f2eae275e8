"""What chance says of each event: a draw, and the hold-outs of its customer.

Rules of this file
1. Nothing random: a draw is a hash of what names the event for ever, so that a decision that is made
   again is the same one, however events were cut into chunks, and whoever makes it.
2. A topic that was begun anew counts its offsets again; its epoch keeps the draws apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from stream.campaign.file import Campaign
from stream.columns import EventBatch, Float64s, Int64s
from stream.compiled.keyed_hash import HashKey, hash_of_words, key_of
from stream.policy.holdout import compile_holdouts, held_out


@dataclass(frozen=True, slots=True)
class Asked:
    """What a policy asks beside scores, of n decided events.

    Attributes:
        raw: Features that the campaign file compares or prices with, NaN when missing.
            Shape (n, R), float64.
        draw: From 0 to 2**32 - 1. Shape (n,), int64.
        held_out: Bit h for hold-out h that the customer is in. Shape (n,), int64.
    """

    raw: Float64s
    draw: Int64s
    held_out: Int64s

    def take(self, index: Int64s) -> Asked:
        """What it asks about some of the events."""
        return Asked(self.raw[index], self.draw[index], self.held_out[index])


class Chance:
    """Draws about the events of one topic.

    Args:
        campaign: The campaign file.
        topic: One of its event topics.
    """

    def __init__(self, campaign: Campaign, topic: str) -> None:
        epochs = [spec.epoch for spec in campaign.topics.anew if spec.topic == topic]
        epoch, version = str(epochs[0] if epochs else 0), campaign.policy.version
        self._key = key_of("draw", topic, epoch, version, campaign.exploration.salt)
        self._holdouts = compile_holdouts(campaign)

    def ask(self, partition: int, batch: EventBatch, index: Int64s, raw: Float64s) -> Asked:
        """What chance says.

        Args:
            partition: Partition of the events.
            batch: Its events.
            index: Those that are decided. Shape (n,), int64.
            raw: Handed through. Shape (n, R), float64.
        """
        draw = np.empty(len(index), np.int64)
        part = np.maximum(batch.element[index], 0).astype(np.int64)  # 0 of a record without a batch
        _draw(self._key, partition, batch.offset[index], part, draw)
        return Asked(raw, draw, held_out(self._holdouts, batch.customer.take(index)))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _draw(key: HashKey, partition: int, offset: Int64s, part: Int64s, out: Int64s) -> None:
    for i in range(len(offset)):
        out[i] = np.int64(hash_of_words(key, partition, offset[i], part[i]) >> np.uint64(32))
