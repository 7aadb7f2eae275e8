"""Until when decisions live, as they say themselves."""

from __future__ import annotations

import msgspec
import numpy as np

from stream.campaign.file import Campaign, EventMapping
from stream.campaign.words import duration_ms
from stream.columns import EventBatch, Int64s, RecordChunk
from stream.decisions.encoder import EVENT_TYPE
from stream.events.decoder import NEVER_MS, EventDecoder


class ExpiryReader:
    """Reads the `expirytime` of decisions in the CloudEvents form.

    Args:
        campaign: The campaign file.
        mapping: How the rest of a decision is read.
    """

    def __init__(self, campaign: Campaign, mapping: EventMapping) -> None:
        self._expires_after_ms = duration_ms(campaign.decisions.expires_after)
        ends = msgspec.structs.replace(mapping, timestamp=("expirytime",))
        self._decoder = EventDecoder(ends, (EVENT_TYPE,), (), ())

    def read(self, chunk: RecordChunk, decisions: EventBatch) -> Int64s:
        """When decisions expire, epoch milliseconds; one that does not say, as the campaign file says now.

        Args:
            chunk: Records without times of their own.
            decisions: What is in them, at the times of the events that they are about. n decisions.

        Returns:
            Shape (n,), int64.
        """
        ends = self._decoder.decode(chunk, NEVER_MS).batch
        said_ms = np.full(len(chunk), -1)
        said_ms[ends.record] = ends.time_ms
        mine_ms = said_ms[decisions.record]
        return np.where(mine_ms >= 0, mine_ms, decisions.time_ms + self._expires_after_ms)
