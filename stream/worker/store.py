"""The customer table as a Faust table: its store, its changelog topic, its recovery.

Registered under the URL scheme `columns://`. Faust names, creates and co-partitions the changelog,
decides when to restore, and shows the table; the rows are written by `publisher`, a batch at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from time import monotonic
from typing import Any, cast

import faust
from faust.stores.base import Store as StockStore
from faust.tables.manager import TableManager as StockTableManager
from faust.tables.recovery import Recovery as StockRecovery
from faust.types import TP, AppT, ConsumerT, EventT, TopicT
from faust.types.tuples import Message
from mode import Service

from stream import changelog
from stream.columns import RecordChunk
from stream.worker.blocks import Blocks, CustomerView
from stream.worker.log import log_event
from stream.worker.snapshots import Snapshots

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
        processor = cast(Any, self.app).processor
        self.blocks: Blocks = processor.blocks
        self.plan = processor.plan
        self.snapshots: Snapshots | None = cast(Any, self.app).snapshots
        self.data = cast(Any, CustomerView(self.blocks, self.plan.describe))

    def persisted_offset(self, tp: TP) -> int | None:
        """Newest changelog record that is in the block; Faust restores from there."""
        block = self.blocks.get(tp.partition)
        if block is None and self.snapshots is not None:
            plan = self.plan
            block = self.snapshots.take(tp.partition, plan.row_words, plan.layout.topics)
            if block is not None:
                self.blocks.put(tp.partition, block)
        return None if block is None or block.changelog_offset < 0 else block.changelog_offset

    def forget(self, tp: TP) -> None:
        """Throws the block of a changelog partition away: it is not what the topic says."""
        self.blocks.drop(tp.partition)

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        """Blocks know their offset themselves."""

    def apply_changelog_batch(
        self,
        batch: Iterable[EventT[Any]],
        to_key: Callable[[Any], Any],
        to_value: Callable[[Any], Any],
    ) -> None:
        """Applies changelog chunks to the blocks."""
        del to_key, to_value
        for event in batch:
            chunk = cast(RecordChunk, event.message.value)
            block = self.blocks.block(chunk.partition)
            changelog.apply_chunk(chunk, block.table, self.plan.offset_words, block.progress)
            block.read(chunk.next_offset - 1)

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


class Recovery(StockRecovery):
    """Restores by chunks, stops at the end offset, and never swallows an error."""

    async def _build_offsets(
        self,
        consumer: ConsumerT,
        tps: set[TP],
        destination: Counter[TP],
        title: str,
    ) -> None:
        """Where to restore from: what goes beyond the end of its topic is of an earlier topic."""
        for tp in tps & self.active_tps:
            offset: int | None = destination[tp]
            if offset is not None and offset > self.active_highwaters[tp]:
                log_event(
                    "snapshot_unused",
                    level=logging.WARNING,
                    partition=tp.partition,
                    reason=f"it is of offset {offset} of {tp.topic}, which ends at "
                    f"{self.active_highwaters[tp]}: the topic was created anew",
                )
                cast(Any, self.tp_to_table[tp]).data.forget(tp)
                cast("dict[TP, int | None]", destination)[tp] = None
        await super()._build_offsets(consumer, tps, destination, title)

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
        if tp in self.active_tps:
            offsets = self.active_offsets
        elif tp in self.standby_tps:
            offsets = self.standby_offsets
        else:
            return  # fetched before the last rebalance: no longer ours
        before = cast("dict[TP, int | None]", offsets)[tp]
        if before is not None and event.message.offset > before + 1:
            await cast(Any, self.app.consumer).rewind(tp, before + 1)
            return
        self.tp_to_table[tp].apply_changelog_batch([event])
        last = cast(RecordChunk, event.message.value).next_offset - 1
        offsets[tp] = last if before is None else max(before, last)

    async def _read_again(self) -> None:
        """Nothing comes though something is missing: what Faust has dropped does not come again."""
        if not self.in_recovery:
            return
        for tp, remaining in self.active_remaining().items():
            if remaining > 0:
                await cast(Any, self.app.consumer).rewind(tp, self.active_offsets[tp] + 1)


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
            rows=cast(Any, recovery.app).processor.blocks.rows,
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
