"""Customers of a partition whom logins link, as a replay comes by them.

What is not known of one of them is not known of the other: both are one customer where causes are looked
for.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stream.columns import Bools, Int64s
from stream.compiled.linked import linked
from trainer.parity.order import OrderCheck
from trainer.replay.replay_order import Run


class Links:
    """The logins of a partition.

    Args:
        order: Goes along with the replay; a login is an event of both.
    """

    def __init__(self, order: OrderCheck) -> None:
        self._order = order
        self._pairs: list[tuple[Int64s, Int64s]] = []

    def follow(self, run: Run, rows: int) -> None:
        """Takes the next events of the replay.

        Args:
            run: Events of one topic.
            rows: Customers that the table has now.
        """
        self._order.follow(run, rows)
        if len(run.emptied) == 0:
            return
        logins = np.flatnonzero((run.emptied >= 0) & (run.emptied != run.row))
        told = run.take(logins)
        self._order.follow(replace(told, row=told.emptied), rows)
        self._pairs.append((told.row, told.emptied))

    def groups(self, rows: int) -> Int64s:
        """A number for each of the customers, the same for those who are linked. Shape (rows,), int64."""
        everyone = np.arange(rows)
        pairs = [*self._pairs, (everyone, np.full(rows, -1))]
        row, emptied = (np.concatenate(side) for side in zip(*pairs, strict=True))
        return linked(row, emptied)[len(row) - rows :]

    def doubtful(self, group: Int64s) -> Bools:
        """By number of a group, whether the order of the events of one of them is not known.

        Args:
            group: What `groups` says. Shape (rows,), int64.
        """
        out = np.zeros(len(group), np.bool_)
        out[group[self._order.doubtful(len(group))]] = True
        return out
