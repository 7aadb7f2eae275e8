"""aiokafka from the inside: a consumer that hands out chunks, a producer that takes whole batches.

aiokafka hands out one Python object per record and takes them one by one. Here its consumer hands out
a `RecordChunk` per fetched piece of a partition, and its producer takes whole encoded batches; its
connections, group membership, retries and idempotence stay as they are.

Stock methods are not copied: `rebind` runs them with a few of their module's names replaced.
tests/stream/worker/faust_app/test_faust_contract.py fails when one of the names used here changes.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from aiokafka import AIOKafkaConsumer
from aiokafka import client as stock_client
from aiokafka.consumer import fetcher as stock
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import TopicPartition

from stream.columns import RecordChunk, Spans
from stream.kafka.log_guard import Compare, GuardedClient
from stream.kafka.records import AbortedTransaction, CorruptRecords, RecordBatch, RecordReader
from stream.kafka.skip_list import ReadRules, Skipped
from stream.kafka.skip_report import log_skipped

# Faust asks for 1500: a fetch without data holds up changes of what is fetched that long.
_FETCH_WAIT_MS_MAX = 500
_MISSING_TOPIC_BACKOFF_S = 0.1
_NO_RULES = ReadRules()
_CHUNK_EVENTS_MAX = 4096


def rebind(function: Callable[..., Any], **names: Any) -> Callable[..., Any]:
    """A copy of a module-level or method function that sees `names` instead of its module's own."""
    assert isinstance(function, types.FunctionType)
    clone = types.FunctionType(
        function.__code__,
        {**function.__globals__, **names},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    clone.__kwdefaults__ = function.__kwdefaults__
    return clone


def look_only(client: stock_client.AIOKafkaClient) -> None:
    """Has a client ask for topics without creating them, and not without pause for one that is gone.

    A topic that was deleted would be there again, empty, with the broker's own settings.
    """
    request = partial(MetadataRequest, allow_auto_topic_creation=False)
    update = rebind(stock_client.AIOKafkaClient._metadata_update, MetadataRequest=request)

    async def metadata_update(cluster: Any, topics: Any) -> bool:
        updated: bool = await update(client, cluster, topics)
        if not cluster.topics() >= set(topics or ()):
            await asyncio.sleep(_MISSING_TOPIC_BACKOFF_S)
        return updated

    client._metadata_update = metadata_update


class FetchedBytes:
    """Stands for aiokafka's MemoryRecords: the record batches of a partition, not looked into."""

    def __init__(self, data: bytes) -> None:
        self.data = bytes(data)

    def has_next(self) -> bool:
        """Whether anything is there: what it is, whole batches or not, the reader finds out."""
        return len(self.data) > 0

    def size_in_bytes(self) -> int:
        """Bytes fetched."""
        return len(self.data)


class Fetched(NamedTuple):
    """A chunk that was fetched.

    Attributes:
        start: Offset that was asked for: between it and the first record there is none.
        chunk: What is there. Without records when all that was fetched is none of anybody's, such
            as the end of a transaction.
    """

    start: int
    chunk: RecordChunk


class ChunkRecords:
    """Stands for aiokafka's PartitionRecords: iterates over chunks instead of records.

    Every offset from the first one asked for belongs to one of them. A batch that cannot be read is
    refused when it comes first: what was fetched before it is handed out, and it is fetched again.
    """

    def __init__(
        self,
        chunk_events_max: int,
        tp: TopicPartition,
        records: FetchedBytes,
        aborted_transactions: list[tuple[int, int]] | None,
        fetch_offset: int,
        _key_deserializer: Any,
        _value_deserializer: Any,
        _check_crcs: bool,
        isolation_level: int,
        rules: ReadRules = _NO_RULES,
        on_skip: Callable[[Skipped], None] = log_skipped,
    ) -> None:
        self._tp = tp
        aborted = None
        if isolation_level == stock.READ_COMMITTED:
            aborted = [AbortedTransaction(*txn) for txn in aborted_transactions or ()]
        self._is_first = True
        self._reader = RecordReader(
            tp.topic, tp.partition, records.data, fetch_offset, chunk_events_max, aborted, rules, on_skip
        )  # fmt: skip

    @property
    def next_fetch_offset(self) -> int:
        """Position after the chunks given out so far."""
        return self._reader.next_offset

    def __iter__(self) -> ChunkRecords:
        return self

    def __next__(self) -> Fetched:
        start = self._reader.next_offset
        try:
            chunk = next(self._reader, None)
        except CorruptRecords:
            if self._is_first and self._reader.next_offset == start:
                raise
            chunk = None
        self._is_first = False
        if chunk is not None:
            return Fetched(start, chunk)
        if self._reader.next_offset == start:
            raise StopIteration
        return Fetched(start, _no_records(self._tp, self._reader.next_offset))


def _no_records(tp: TopicPartition, next_offset: int) -> RecordChunk:
    none = np.zeros(0, np.int64)
    spans = Spans(np.zeros(0, np.uint8), none, none)
    return RecordChunk(tp.topic, tp.partition, none, none, spans, spans, next_offset)


class ChunkFetcher(stock.Fetcher):  # type: ignore[misc]  # aiokafka has no type information
    """aiokafka's fetcher, keeping what it fetched as bytes."""

    def __init__(
        self,
        client: Any,
        *args: Any,
        chunk_records: Callable[..., ChunkRecords],
        compare: Compare | None,
        **kwargs: Any,
    ) -> None:
        proc_fetch_request = rebind(
            stock.Fetcher._proc_fetch_request,
            MemoryRecords=FetchedBytes,
            PartitionRecords=chunk_records,
        )
        self._proc_fetch_request = types.MethodType(proc_fetch_request, self)
        client = client if compare is None else GuardedClient(client, compare)
        super().__init__(client, *args, **kwargs)


class ChunkConsumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka has no type information
    """aiokafka's consumer, whose records are chunks.

    It reads what is committed: an event of an aborted transaction never happened, and the producer
    most often sends it once more.

    Args:
        topics: What to subscribe to.
        chunk_events_max: Most records in one chunk.
        rules: Bound of what is unpacked, and the skip list.
        on_skip: Told of what the skip list has left out, in the thread that fetches.
        compare: Asked whether a log is still the one that was read, see `log_guard`; None for no one.
        settings: Of aiokafka's consumer.
    """

    def __init__(
        self,
        *topics: str,
        chunk_events_max: int = _CHUNK_EVENTS_MAX,
        rules: ReadRules = _NO_RULES,
        on_skip: Callable[[Skipped], None] = log_skipped,
        compare: Compare | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(*topics, **settings | {"isolation_level": "read_committed"})
        look_only(self._client)
        chunk_records = partial(ChunkRecords, chunk_events_max, rules=rules, on_skip=on_skip)
        self._chunk_fetcher = partial(ChunkFetcher, chunk_records=chunk_records, compare=compare)

    async def start(self) -> None:
        """Connects, and joins the group."""
        self._fetch_max_wait_ms = _FETCH_WAIT_MS_MAX
        await rebind(AIOKafkaConsumer.start, Fetcher=self._chunk_fetcher)(self)


def stable_end(consumer: AIOKafkaConsumer, tp: TopicPartition) -> int | None:
    """Offset up to which a partition can be read; None while it is not assigned or not yet known.

    `last_stable_offset` raises for a partition that is not assigned, and in a rebalance that is
    decided by another thread between any question and its answer: so one look at one assignment.
    """
    state = _state(consumer, tp)
    return None if state is None else state.lso


def log_ends(consumer: AIOKafkaConsumer, tp: TopicPartition) -> tuple[int, int] | None:
    """`stable_end`, and the offset after the last record, which a transaction may hold back."""
    state = _state(consumer, tp)
    if state is None or state.lso is None or state.highwater is None:
        return None
    return state.lso, max(state.lso, state.highwater)


def _state(consumer: AIOKafkaConsumer, tp: TopicPartition) -> Any:
    subscription = consumer._subscription.subscription
    assignment = None if subscription is None else subscription.assignment
    return None if assignment is None else assignment.state_value(tp)


class SealedBatch:
    """Stands for aiokafka's BatchBuilder: a batch that is complete when the producer takes it."""

    def __init__(self, batch: RecordBatch) -> None:
        self._batch = batch
        self._buffer: bytearray | None = None

    def close(self) -> None:
        """The batch is closed from the beginning."""

    def closed(self) -> bool:
        """Nothing can be appended."""
        return True

    def record_count(self) -> int:
        """Records in the batch."""
        return self._batch.records

    def size(self) -> int:
        """Bytes of the batch."""
        return len(self._batch.buffer)

    def _set_producer_state(
        self, producer_id: int, producer_epoch: int, base_sequence: int
    ) -> None:
        self._buffer = self._batch.seal(producer_id, producer_epoch, base_sequence)

    def _build(self) -> bytearray:
        if self._buffer is None:
            self._buffer = self._batch.seal(-1, -1, -1)
        return self._buffer
