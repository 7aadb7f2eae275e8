"""What a broker says about records whose time it does not take, which aiokafka leaves out."""

from __future__ import annotations

import time
import types
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidTimestampError
from aiokafka.producer import sender as stock
from aiokafka.protocol.produce import ProduceRequest, ProduceRequest_v8
from aiokafka.structs import TopicPartition

from stream.kafka.client import rebind
from stream.worker.operate.clock import refused_by_broker

_WORDS_SINCE_VERSION = ProduceRequest_v8.API_VERSION


class _ProduceRequest(ProduceRequest):  # type: ignore[misc]  # aiokafka has no type information
    """With the version whose answer has words, which aiokafka can read and does not ask for."""


# Not in the class: where aiokafka's own is made, its versions are read from its base.
_ProduceRequest._CLASSES = (*ProduceRequest._CLASSES, ProduceRequest_v8)


def explain_timestamps(producer: AIOKafkaProducer) -> None:
    """Has batches that are refused because of their time fail with a `ClockError`."""
    create = rebind(stock.SendProduceReqHandler.create_request, ProduceRequest=_ProduceRequest)
    handler = type("ProduceHandler", (_ProduceHandler,), {"create_request": create})
    send = rebind(stock.Sender._send_produce_req, SendProduceReqHandler=handler)
    producer._sender._send_produce_req = types.MethodType(send, producer._sender)


class _ProduceHandler(stock.SendProduceReqHandler):  # type: ignore[misc]  # aiokafka has no type information
    def handle_response(self, response: Any) -> None:
        for topic, partitions in response.topics:
            for partition, error_code, *rest in partitions:
                batch = self._batches.get(TopicPartition(topic, partition))
                if error_code == InvalidTimestampError.errno and batch is not None:
                    said = _words(rest) if response.API_VERSION >= _WORDS_SINCE_VERSION else None
                    now_ms = time.time_ns() // 1_000_000
                    batch.failure(refused_by_broker(topic, said, now_ms))  # the first one counts
        super().handle_response(response)


def _words(fields: list[Any]) -> str | None:
    *_, record_errors, said = fields
    words: str | None = next((words for _, words in record_errors or () if words), said)
    return words
