"""What was published about events before a crash: a row of numbers for each event of a chunk.

Published decisions are ground: whoever decides about the same events again takes them as they are, since
an engine may have seen them. What they say of contacts is counted as it stands.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from stream.columns import Int64s

STRATEGY, GHOST, DECIDED_MS, OUT_MS, EXPIRES_MS = range(5)
"""Columns: the strategy, by its index in the campaign, S for nothing; what would have been chosen of a
customer who is held out; when that was decided, when the message goes out, and when the decision
expires, epoch milliseconds."""
UNSAID, GONE = -1, -2
"""In place of a strategy: nothing was published, nobody was held out; and one that is not in the campaign
any more."""

PublishedRows: TypeAlias = Int64s
"""Shape (n, 5), or (0, 5) where nothing was published about any of n events."""

NONE_PUBLISHED: PublishedRows = np.empty((0, EXPIRES_MS + 1), np.int64)


def take_published(published: PublishedRows, index: Int64s) -> PublishedRows:
    """The rows of some of the events."""
    return published[index] if len(published) else published
