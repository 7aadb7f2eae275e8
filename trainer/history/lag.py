"""Topics that are behind the others: outcomes that have not come yet must not pass for none.

Topics are written by different systems. When mails are known up to now and orders up to last week, a mail of
last week has no order that anybody could have read. How far a topic goes its newest event says: in a shop that
sells every minute a silence of a week is a delay. A topic that is rarely written to is taken to go as far as its
newest event, too: nobody can tell the two apart, and to wait is the careful side.

Rules of this file
1. Of several topics with outcomes one that stays behind by more than an attribution window has ended, as long as
   another goes on: a topic that was replaced must not end the history for good. It is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from trainer.history.gaps import NEVER_MS


class Lag(NamedTuple):
    """How far outcomes are known.

    Attributes:
        known_ms: Until when, epoch milliseconds; `NEVER_MS` without any outcome.
        behind: Topics that say so, with their newest event.
        ended: Topics that are taken to have ended, with their newest event.
    """

    known_ms: int
    behind: dict[str, int]
    ended: dict[str, int]


def lag(newest_ms: Mapping[str, int], window_ms: int) -> Lag:
    """How far the topics that have outcomes go.

    Args:
        newest_ms: Newest event of each, in any partition.
        window_ms: Attribution window.
    """
    if not newest_ms:
        return Lag(NEVER_MS, {}, {})
    furthest_ms = max(newest_ms.values())
    ended = {name: ms for name, ms in newest_ms.items() if furthest_ms - ms > window_ms}
    known_ms = min(ms for name, ms in newest_ms.items() if name not in ended)
    behind = {name: ms for name, ms in newest_ms.items() if ms == known_ms}
    return Lag(known_ms, behind, ended)
