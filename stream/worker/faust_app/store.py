"""The customer table as a Faust table: its store, its changelog topic, its recovery.

Registered under the URL scheme `columns://`. Faust names, creates and co-partitions the changelog,
decides when to restore, and shows the table; the rows are written by `publisher`, a batch at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, cast

import faust
from faust.stores.base import Store as StockStore
from faust.tables.base import Collection
from faust.tables.manager import TableManager as StockTableManager
from faust.tables.recovery import Recovery as StockRecovery
from faust.types import TP, AppT, ConsumerT, EventT, TopicT
from faust.types.tuples import Message
from mode import Service

from stream.columns import RecordChunk
from stream.log import log_event
from stream.worker.faust_app.app_port import port_of
from stream.worker.partition.blocks import Blocks
from stream.worker.partition.customer_view import CustomerView
from stream.worker.partition.restore import Restore, Unproven
from stream.worker.partition.snapshots import Snapshots

SCHEME = "columns"
_IDLE_S = 0.5
_READ_AGAIN_IDLES = 10
_PROGRESS_INTERVAL_S = 10.0


class ChunkSchema(faust.Schema[Any, Any]):
    """Passes chunks through: they are decoded as columns, not by a codec."""

    def compile(self, app: AppT, **_options: Any) -> Callable[..., Awaitable[EventT[Any]]]:
        """The function that Faust calls on every message."""

        async def decode(message: Message, *, propagate: bool = False) -> EventT[Any]:
            del propagate
            return app.create_event(None, message.value, None, message)

        return decode


class Store(StockStore[Any, Any]):
    """Faust's view of the blocks."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        port = port_of(self.app)
        self.blocks: Blocks = port.processor.blocks
        self.plan = port.processor.plan
        self.snapshots: Snapshots | None = port.snapshots
        view = CustomerView(self.blocks, self.plan.describe)
        self.data = view  # type: ignore[assignment]  # Faust's can be written; it only reads this one

    def persisted_offset(self, tp: TP) -> int | None:
        """None: where a restore begins is asked of the blocks, at its beginning (`restore`)."""

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        """Blocks know their offset themselves."""

    def restore(self, tp: TP, first: int, end: int) -> int:
        """Begins to restore a partition of the changelog; gives the offset to read from.

        Args:
            tp: The partition.
            first: First offset that is left of it.
            end: Offset after the last record.
        """
        partition = tp.partition
        if self.snapshots is not None and self.blocks.get(partition) is None:
            plan = self.plan
            block = self.snapshots.take(partition, plan.row_words, plan.layout.topics)
            if block is not None:
                self.blocks.load(partition, block)
        unused = self.blocks.restore(partition, first, end)
        if unused is not None:
            _say_unused(tp, unused)
        return self._restoring(partition).next_offset

    def read(self, tp: TP, start: int, chunk: RecordChunk) -> int | None:
        """Applies a chunk of the changelog; gives the offset to read from if not the next one.

        Args:
            tp: The partition.
            start: Offset that was asked for when the chunk was fetched.
            chunk: Its records.
        """
        block = self.blocks.get(tp.partition)
        if block is None or block.restore is None:
            return None  # given up meanwhile, or fetched before the restore was through
        try:
            return block.read(start, chunk, self.plan.offset_words)
        except Unproven as exc:
            _say_unused(tp, str(exc))
            first, end = block.restore.first, block.restore.end
            self.blocks.restore_all(tp.partition, first, end)
            return first

    def next_offset(self, tp: TP) -> int | None:
        """Offset that the restore of a partition comes to next, None without one."""
        block = self.blocks.get(tp.partition)
        return None if block is None or block.restore is None else block.restore.next_offset

    def _restoring(self, partition: int) -> Restore:
        block = self.blocks.get(partition)
        assert block is not None
        assert block.restore is not None
        return block.restore

    def apply_changelog_batch(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: `Recovery` leaves nothing in Faust's buffers."""

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Drops the blocks of partitions that belong to other workers now."""
        self.blocks.keep_only({tp.partition for tp in active_tps | standby_tps})

    def reset_state(self) -> None:
        """A snapshot on disk is used once anyway."""

    async def backup_partition(self, *args: Any, **kwargs: Any) -> None:
        """The changelog is the backup."""

    def restore_backup(self, *args: Any, **kwargs: Any) -> None:
        """The changelog is the backup."""


class Table(faust.Table[Any, Any]):
    """A Faust table whose rows live in the columns store."""

    def _new_changelog_topic(self, **_options: Any) -> TopicT:
        return self.app.topic(
            self._changelog_topic_name(),
            schema=ChunkSchema(key_type=bytes, value_type=bytes),
            partitions=self.partitions,
            compacting=True,
            deleting=False,
            acks=False,
            internal=True,
            config=self.extra_topic_configs,
            maxsize=64,
            allow_empty=True,
        )


def _say_unused(tp: TP, reason: str) -> None:
    log_event(
        "state_unused", level=logging.WARNING, partition=tp.partition,
        reason=f"of what was kept {reason}; all of {tp.topic} is read instead",
    )  # fmt: skip


class Recovery(StockRecovery):
    """Restores by chunks, stops at the end offset, and never swallows an error.

    Faust counts how far it has read a changelog, and goes on from there when a partition comes back.
    It does not know that its block was dropped: so at the beginning of each restore the blocks are
    asked, and Faust's counters are set to what they say.
    """

    async def _build_offsets(
        self,
        consumer: ConsumerT,
        tps: set[TP],
        destination: Counter[TP],
        title: str,
    ) -> None:
        """Begins the restores. Faust's offsets are those of the last record read."""
        del title
        mine = tps & self.active_tps
        if not mine:
            return
        first = await consumer.earliest_offsets(*mine)
        ends = await consumer.highwaters(*mine)
        for tp in mine:
            begin, end = first[tp] or 0, ends[tp] or 0
            destination[tp] = self._store(tp).restore(tp, begin, end) - 1
            self.active_highwaters[tp] = end - 1

    async def _seek_offsets(
        self, consumer: ConsumerT, tps: set[TP], offsets: Counter[TP], title: str
    ) -> None:
        """Goes to the first record to be read; Faust would read the one before once more."""
        del title
        await consumer.seek_wait({tp: offsets[tp] + 1 for tp in tps})

    def _store(self, tp: TP) -> Store:
        return cast(Store, cast(Collection, self.tp_to_table[tp]).data)

    @Service.task
    async def _slurp_changelogs(self) -> None:
        queue = self.tables.changelog_queue
        idle = 0
        progress = _Progress(self)
        while not self.should_stop:
            self.signal_recovery_end.clear()
            try:
                event = await asyncio.wait_for(queue.get(), timeout=_IDLE_S)
            except TimeoutError:
                idle += 1
                if idle % _READ_AGAIN_IDLES == 0:
                    await self._read_again()
            else:
                idle = 0
                progress.tell()  # before the first chunk, or its records are not counted
                await self._apply(event)
            progress.tell()
            if self.in_recovery and not self.need_recovery():
                self._set_recovery_ended()
                progress.tell(done=True)
                self.signal_recovery_end.set()

    async def _apply(self, event: EventT[Any]) -> None:
        """Applies a chunk that continues what was read; else the changelog is read from there."""
        tp = event.message.tp
        if tp not in self.active_tps:
            return  # fetched before the last rebalance: no longer ours
        store = self._store(tp)
        again = store.read(tp, event.message.offset, cast(RecordChunk, event.message.value))
        next_offset = store.next_offset(tp)
        if next_offset is not None:
            self.active_offsets[tp] = next_offset - 1
        if again is not None:
            await self._rewind(tp, again)

    async def _read_again(self) -> None:
        """Nothing comes though something is missing: what Faust has dropped does not come again."""
        if not self.in_recovery:
            return
        for tp, remaining in self.active_remaining().items():
            if remaining > 0:
                await self._rewind(tp, self.active_offsets[tp] + 1)

    async def _rewind(self, tp: TP, offset: int) -> None:
        await port_of(self.app).shell.rewind(tp.topic, tp.partition, offset)


class _Progress:
    """One log line every ten seconds of a restore, and one at its end."""

    def __init__(self, recovery: Recovery) -> None:
        self._recovery = recovery
        self._began_s: float | None = None
        self._told_s = 0.0
        self._total = 0

    def tell(self, *, done: bool = False) -> None:
        recovery = self._recovery
        if not recovery.in_recovery and not done:
            self._began_s = None
            return
        now_s = monotonic()
        remaining = max(0, recovery.active_remaining_total())
        if self._began_s is None:
            self._began_s = self._told_s = now_s
            self._total = remaining
        if not done and now_s - self._told_s < _PROGRESS_INTERVAL_S:
            return
        self._told_s = now_s
        elapsed_s = now_s - self._began_s
        rate = (self._total - remaining) / elapsed_s if elapsed_s > 0 else 0.0
        log_event(
            "restore",
            done=done,
            records=self._total - remaining,
            remaining=remaining,
            rows=port_of(recovery.app).processor.blocks.rows,
            records_s=round(rate),
            eta_s=None if done or rate <= 0 else round(remaining / rate, 1),
            elapsed_s=round(elapsed_s, 2),
        )


class TableManager(StockTableManager):
    """Faust's table manager with this recovery."""

    @property
    def recovery(self) -> StockRecovery:
        """The recovery service."""
        if self._recovery is None:
            self._recovery = Recovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
