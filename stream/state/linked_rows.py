"""Which rows have to become durable together: a login has moved what was in one of them to the other.

A record batch is appended to the changelog as a whole or not at all. So the rows that logins link go into
one batch: nobody restores the row of the id without its history, and the row of the customer from before.
Only what is larger than a batch is cut, the rows that history was moved to before those it was moved from;
a replay then finishes what is missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from stream.columns import Int64s
from stream.compiled.linked import linked


def together(rows: Int64s, links: Sequence[tuple[int, int]], rows_max: int) -> list[Int64s]:
    """Cuts the rows of a checkpoint into parts, each in an order in which it may be written.

    Args:
        rows: The rows, rising. Shape (n,), int64.
        links: What logins moved, in order: to which row, and from which.
        rows_max: Rows that are sure to fit into one batch.

    Returns:
        The rows that no login links, if there are any; then as many whole groups at a time as fit.
    """
    if not links:
        return [rows]
    target, source = np.array(links, np.int64).T
    group_of = dict(zip(target.tolist(), linked(target, source).tolist(), strict=True))
    moved = {row: i for i, row in enumerate(source.tolist())}  # when each was moved from last
    groups: dict[int, list[int]] = defaultdict(list)
    alone: list[int] = []
    group_of |= {row: group_of[into] for into, row in links}
    for row in rows.tolist():
        group = group_of.get(row)
        (alone if group is None else groups[group]).append(row)
    parts = [alone, []]
    for group in groups.values():
        group.sort(key=lambda row: -moved.get(row, len(links)))
        if len(parts[-1]) + len(group) > rows_max:
            parts.append([])
        parts[-1] += group
    return [np.array(part, np.int64) for part in parts if part]
