"""Customers that logins link come into one shard, whatever the bucket of each.

Which of them are linked is known only when all has been read. So events wait in the shard of their own
customer, and what belongs to a lower bucket of its partition is moved there, once, before the first
shard is worked on: the bucket of a group is the lowest of those of its members, so that it does not depend
on what came first.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stream.columns import Bools, EventBatch, Int64s, Spans
from stream.compiled.linked import linked
from stream.state.table import CustomerTable
from trainer.replay.actions import ACTION, Records
from trainer.replay.buckets import by_bucket
from trainer.replay.spill import Shard, Spill

FORGETS = -2
"""What a tombstone that forgets its customer has in the column `emptied`; -1 is of what empties nobody."""


class LinkedShards:
    """The logins of a history, and what they move from one shard to another.

    Args:
        folder: Where files come to stand.
        events: Events by the shard of their own customer.
        actions: Actions about them.
        tables: The customers of each shard.
        memory_bytes: From which on what is moved goes to disk.
    """

    def __init__(
        self,
        folder: Path,
        events: Spill,
        actions: Spill,
        tables: dict[Shard, CustomerTable],
        memory_bytes: int,
    ) -> None:
        self._events, self._actions, self._tables = events, actions, tables
        self._memory_bytes = memory_bytes
        self._moved = Spill(folder, "moved-events", events.dtype)
        self._moved_actions = Spill(folder, "moved-actions", ACTION)
        self._newcomers: dict[Shard, CustomerTable] = {}
        self._home_of_row: dict[Shard, Int64s] = {}
        self._ids: dict[int, CustomerTable] = {}
        self._pairs: dict[int, list[tuple[Int64s, Int64s]]] = {}
        self._is_gathered = False

    def note(self, partition: int, batch: EventBatch) -> Int64s:
        """What the events of a partition empty: number of the id before a login, `FORGETS` or -1."""
        assert not self._is_gathered, "all is read before the first shard is worked on"
        emptied = np.full(len(batch), -1)
        if batch.forgets is not None:
            emptied[batch.forgets] = FORGETS
        if batch.previous is not None:
            told = np.flatnonzero(batch.previous.size >= 0)
            ids = self._ids.setdefault(partition, CustomerTable(1))
            emptied[told] = ids.rows_for(batch.previous.take(told))
            pair = ids.rows_for(batch.customer.take(told)), emptied[told]
            self._pairs.setdefault(partition, []).append(pair)
        return emptied

    def shards(self) -> set[Shard]:
        """The shards that something was moved to."""
        self._gather()
        return self._moved.shards()

    def load(self, shard: Shard) -> tuple[Records, Records, CustomerTable]:
        """Events, actions and customers of a shard; `emptied` has rows, the own of who is forgotten."""
        self._gather()
        records, actions = self._events.load(shard), self._actions.load(shard)
        table, own = CustomerTable(1), self._tables.get(shard, CustomerTable(1))
        table.rows_for(own.key_spans(own.live))
        home_of_row = self._home_of_row.get(shard)
        if home_of_row is not None:
            left = home_of_row[records["row"]] >= 0
            actions = actions[_home_of_actions(actions, records, home_of_row) < 0]
            records = records[~left]
        records = records.copy()
        records["emptied"] = self._rows(shard.partition, records, table)
        if shard in self._newcomers:
            moved, newcomers = self._moved.load(shard).copy(), self._newcomers[shard]
            moved["row"] = table.rows_for(newcomers.key_spans(newcomers.live))[moved["row"]]
            moved["emptied"] = self._rows(shard.partition, moved, table)
            records = np.concatenate([records, moved])
            records = records[np.argsort(records["offset"], kind="stable")]
            actions = np.concatenate([actions, self._moved_actions.load(shard)])
        return records, actions, table

    def _rows(self, partition: int, records: Records, table: CustomerTable) -> Int64s:
        """`emptied` of events as rows of a table."""
        emptied = records["emptied"].astype(np.int64)
        if partition in self._ids:
            told = np.flatnonzero(emptied >= 0)
            emptied[told] = table.rows_for(self._ids[partition].key_spans(emptied[told]))
        return np.where(emptied == FORGETS, records["row"], emptied)

    def _gather(self) -> None:
        """Moves what belongs to other shards."""
        if self._is_gathered:
            return
        self._is_gathered = True
        for partition, pairs in sorted(self._pairs.items()):
            ids = self._ids[partition]
            customer, previous = (np.concatenate(side) for side in zip(*pairs, strict=True))
            group = np.arange(ids.rows)
            group[customer] = linked(customer, previous)
            group[previous] = group[customer]
            bucket = _buckets(ids.key_spans(ids.live))
            home = np.full(ids.rows, np.iinfo(np.int64).max)
            np.minimum.at(home, group, bucket)
            home = home[group]
            for number in np.unique(bucket[home != bucket]).tolist():
                leaving = np.flatnonzero((bucket == number) & (home != bucket))
                self._move(Shard(partition, number), ids, leaving, home[leaving])

    def _move(self, shard: Shard, ids: CustomerTable, leaving: Int64s, home: Int64s) -> None:
        """Moves what some customers have in a shard to that of their group."""
        table = self._tables.get(shard)
        if table is None:
            return
        row = np.array([table.find(ids.key(one)) for one in leaving.tolist()], np.int64)
        home_of_row = np.full(table.rows, -1)
        home_of_row[row[row >= 0]] = home[row >= 0]
        self._home_of_row[shard] = home_of_row
        records, actions = self._events.load(shard), self._actions.load(shard)
        of_event, of_action = (
            home_of_row[records["row"]], _home_of_actions(actions, records, home_of_row),
        )  # fmt: skip
        for bucket in np.unique(of_event[of_event >= 0]).tolist():
            to = Shard(shard.partition, bucket)
            newcomers = self._newcomers.setdefault(to, CustomerTable(1))
            mine = records[of_event == bucket].copy()
            mine["row"] = newcomers.rows_for(table.key_spans(mine["row"].astype(np.int64)))
            self._moved.add(to, mine)
            self._moved_actions.add(to, actions[of_action == bucket])
        if self._moved.memory_bytes + self._moved_actions.memory_bytes > self._memory_bytes:
            self._moved.flush()
            self._moved_actions.flush()


def _buckets(customer: Spans) -> Int64s:
    """The bucket of each customer. Shape (n,), int64."""
    out = np.empty(len(customer), np.int64)
    for bucket, index in by_bucket(customer):
        out[index] = bucket
    return out


def _home_of_actions(actions: Records, records: Records, home_of_row: Int64s) -> Int64s:
    """Where the event of each action has been moved, -1 for one that stays or is not there."""
    out = np.full(len(actions), -1)
    for topic in np.unique(actions["topic"]):
        about, there = (np.flatnonzero(of["topic"] == topic) for of in (actions, records))
        offset = records["offset"][there]
        place = np.searchsorted(offset, actions["offset"][about])
        found: Bools = place < len(there)
        event = there[np.minimum(place, len(there) - 1)] if len(there) else place
        found[found] = records["offset"][event[found]] == actions["offset"][about[found]]
        out[about[found]] = home_of_row[records["row"][event[found]]]
    return out
