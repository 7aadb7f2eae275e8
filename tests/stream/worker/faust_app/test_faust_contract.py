"""The private names of Faust and aiokafka that the worker builds on are as they were when read.

A change here is no defect of the new release: read what changed, adapt stream/worker, then update
the digest. Each digest is of the method's source, so that a change of behaviour shows, too.
"""

from __future__ import annotations

import hashlib
import inspect
from importlib.metadata import version
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer import fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.producer import message_accumulator, sender
from faust.app.base import App
from faust.cli.worker import worker
from faust.stores.base import Store
from faust.tables.base import Collection
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer, ThreadDelegateConsumer
from faust.transport.drivers import aiokafka as driver
from faust.web.base import Web
from mode import Worker
from mode.services import ServiceTask
from mode.utils.queues import FlowControlEvent

CONTRACT: dict[tuple[Any, str], str] = {
    (fetcher.Fetcher, "_proc_fetch_request"): "59bf948fff47",
    (fetcher.Fetcher, "fetched_records"): "be4348896b9b",
    (fetcher.FetchResult, "getall"): "3e717e30de50",
    (fetcher.FetchResult, "check_assignment"): "b5340df67e3f",
    (AIOKafkaConsumer, "start"): "2f1ba7044332",
    (AIOKafkaConsumer, "seek"): "a9430f1f3b9a",
    (AIOKafkaConsumer, "last_stable_offset"): "ed875fe136b9",  # `stable_end` does its work
    (GroupCoordinator, "reset_generation"): "537aa37c531b",
    (GroupCoordinator, "_on_join_prepare"): "4d9524afc0ee",
    (AIOKafkaProducer, "send_batch"): "bf42b0f0c5c0",
    (AIOKafkaClient, "_metadata_update"): "06dc51ed3e0d",
    (AIOKafkaClient, "send"): "246b277687d7",
    (sender.Sender, "_send_produce_req"): "aea01ae4b6c7",
    (sender.SendProduceReqHandler, "create_request"): "807639a95205",
    (sender.SendProduceReqHandler, "handle_response"): "850323cc8f77",
    (message_accumulator.MessageBatch, "failure"): "719b2122c318",
    (Worker, "install_signal_handlers"): "5cb3d584d58f",
    (Worker, "_schedule_shutdown"): "1a6a5dfc88c2",
    (worker, "_init_worker_options"): "24f65ab580a4",
    (Web, "_enabled_blueprints"): "0a5b53f233d4",
    (message_accumulator.MessageBatch, "__init__"): "6fd2fe1c2df1",
    (message_accumulator.MessageBatch, "set_producer_state"): "3ae8627bb3db",
    (message_accumulator.MessageBatch, "get_data_buffer"): "81c4aaef84b0",
    (message_accumulator.MessageAccumulator, "add_batch"): "5ed1c5b1367a",
    (message_accumulator.MessageAccumulator, "_pop_batch"): "41cc98a298ef",
    (message_accumulator.MessageAccumulator, "reenqueue"): "f75f518a1ae2",
    (Consumer, "getmany"): "4b168d84882a",
    (Consumer, "_drain_messages"): "44a2500309e8",
    (Consumer, "track_message"): "217d7f1399a4",
    (Consumer, "perform_seek"): "0e8c130ff4b0",
    (Consumer, "on_partitions_revoked"): "d04b7ae72c6f",
    (Consumer, "commit"): "a354437baaa0",
    (Consumer, "_commit_tps"): "a20e230b05ae",
    (Consumer, "_filter_committable_offsets"): "dc5e9baf5d99",
    (Consumer, "_commit_offsets"): "1a6979904118",
    (App, "_on_partitions_revoked"): "d5c895bbe57d",
    (App, "_stop_consumer"): "55854a5de12c",
    (FlowControlEvent, "resume"): "4dcdc1253fd0",
    (Consumer, "resume_flow"): "db59630f25b5",
    (Consumer, "pause_partitions"): "27a1c94bdacd",
    (Consumer, "resume_partitions"): "afe6b7c02a41",
    (ThreadDelegateConsumer, "_seek"): "4f95c6314204",
    (driver.AIOKafkaConsumerThread, "seek"): "1498560d05f0",
    (driver.AIOKafkaConsumerThread, "highwater"): "6f7dbe109ae6",
    (driver.AIOKafkaConsumerThread, "_create_worker_consumer"): "c2701bfc3e6f",
    (driver.AIOKafkaConsumerThread, "_fetch_records"): "39a2c6c79fc1",
    (driver.Consumer, "_to_message"): "7c24f6511b2f",
    (driver.Producer, "_settings_extra"): "a4c7bc41b638",
    (driver.Producer, "_new_producer"): "e72355c3430e",
    (Recovery, "_restart_recovery"): "6bd8a8558a2d",
    (Recovery, "_build_highwaters"): "91b4cc0d3724",
    (Recovery, "_build_offsets"): "27eec86be06c",
    (Recovery, "_seek_offsets"): "19598ca63d94",
    (Recovery, "on_recovery_completed"): "6ef567acf072",
    (TableManager, "recovery"): "f0bf5de78b4c",
    (Collection, "_new_changelog_topic"): "77bea64b59f7",
    (Store, "__init__"): "d1705e3cfe39",
}


def digest(owner: Any, name: str) -> str:
    found = inspect.getattr_static(owner, name)
    if isinstance(found, property):
        found = found.fget
    source = inspect.getsource(found.fun if isinstance(found, ServiceTask) else found)
    return hashlib.sha256(source.encode()).hexdigest()[:12]


@pytest.mark.parametrize(("owner", "name"), CONTRACT, ids=lambda x: getattr(x, "__name__", x))
def test_a_private_name_is_as_it_was_read(owner: Any, name: str) -> None:
    assert digest(owner, name) == CONTRACT[owner, name]


def test_pinned_releases() -> None:
    assert version("faust-streaming") == "0.15.3"
    assert version("mode-streaming") == "0.7.1"
    assert version("aiokafka") == "0.14.0"
