"""Names by their hashes, as decoders deliver them: topics and strategies that decisions name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream.campaign.file import Campaign
from stream.columns import Int64s, UInt64s
from stream.compiled.category_hash import category_hash
from stream.policy.decision import NOTHING


class Names:
    """Finds names by the hash that a decoder delivers."""

    def __init__(self, names: Sequence[str]) -> None:
        hashes = np.array([category_hash(name.encode()) for name in names], np.uint64)
        self._index = np.argsort(hashes)
        self._hashes = hashes[self._index]

    @classmethod
    def of_strategies(cls, campaign: Campaign) -> Names:
        """The strategies of a campaign, and after them doing nothing."""
        return cls([*(strategy.id for strategy in campaign.strategies), NOTHING])

    def find(self, hashes: UInt64s) -> Int64s:
        """Index of each name, -1 for one that is not known. Shape (n,), int64."""
        place = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        return np.where(self._hashes[place] == hashes, self._index[place], -1)
