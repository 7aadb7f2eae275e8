"""Contacts are written before the features that go with them, and restored behind them, or refused."""

from __future__ import annotations

import asyncio
import logging

import msgspec
import numpy as np
import pytest

from stream.campaign.file import Campaign, parse
from stream.columns import RecordChunk
from stream.contacts.contact_records import (
    LAYOUT_KEY,
    MARKER_KEY,
    ContactMarker,
    encode_contact_rows,
)
from stream.contacts.contact_table import ContactTable
from stream.errors import StateError
from stream.state import marker
from stream.worker.partition.block import Contacts
from stream.worker.processor import Processor
from tests.stream.worker.processor_harness import (
    CAMPAIGN,
    TEXT,
    Shell,
    begin,
    block_of,
    deployment,
    message,
    run,
    settle,
)

LOG = "t-contacts-changelog"
CAPPED = parse(
    TEXT.replace("TOPICS", '["events"]') + '\ncaps = [{ id = "c", contacts = 1, within = "7d" }]'
)


def contacts_of(processor: Processor) -> Contacts:
    contacts = block_of(processor).contacts
    assert contacts is not None
    return contacts


def contact(processor: Processor, customer: bytes, offset: int) -> None:
    """Counts something, as the decision about an event does."""
    block, table = block_of(processor), contacts_of(processor).table
    row = block.table.find(customer)
    table.fit(row + 1)
    table.next_offset[row] = offset + 1
    table.cells[row] = offset
    table.mark_dirty(np.array([row]))


async def begin_again(
    processor: Processor, shell: Shell, log: RecordChunk, campaign: Campaign = CAPPED
) -> None:
    """Another worker takes the partition."""
    end = shell.changelog("out").next_offset if shell.decided() else 0
    begin(processor, dict.fromkeys(campaign.topics.events), {"events": end}, log)
    await processor.complete(0)


def seen(processor: Processor) -> dict[bytes, int]:
    """What the first cell of each customer says."""
    block, table = block_of(processor), contacts_of(processor).table
    return {
        block.table.key(row): int(table.cells[row, 0])
        for row in block.table.live.tolist() if table.next_offset[row].any()
    }  # fmt: skip


def test_contacts_then_features_then_done() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.complete(0)
        shell.auto = False
        await processor.process(message(0, ["ann", "bob"]))
        contact(processor, b"ann", 0)
        checkpoint = asyncio.create_task(processor.checkpoint())
        await settle()
        shell.acknowledge(0)  # the decisions
        await settle()
        assert shell.happened[-3:] == [f"send {LOG}"] * 3  # layout, row, marker
        for i in range(1, 4):
            assert "send log" not in shell.happened
            shell.acknowledge(i)
            await settle()
        assert shell.happened[-2:] == ["send log", "send log"]
        shell.acknowledge(4)
        shell.acknowledge(5)
        await checkpoint
        assert shell.happened[-1] == "done 2"

    shell = run(scenario, CAPPED)
    log = shell.changelog(LOG)
    assert [log.key[i] for i in range(3)] == [log.key[0], b"ann", MARKER_KEY]
    assert (log.key[0] or b"").startswith(LAYOUT_KEY)
    marker = msgspec.json.decode(log.value[2] or b"", type=ContactMarker)
    assert (marker.covered, marker.rows) == ({"events": 2}, 1)
    assert [one.contacts for one in shell.markers()] == [True]


def test_contacts_come_back_with_their_customers() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.complete(0)
        for first in range(3):
            await processor.process(message(first, ["ann"]))
            contact(processor, b"ann", first)
            await processor.checkpoint()
        other = Processor(CAPPED, processor.plan, "log", shell)
        await other.deploy(deployment())
        await begin_again(other, shell, shell.changelog())
        assert seen(other) == {b"ann": 2}
        assert not block_of(other).has_unwritten
        log = shell.changelog(LOG)
        told = [i for i in range(len(log)) if (log.key[i] or b"").startswith(LAYOUT_KEY)]
        assert told == [0]
        records = log.next_offset
        await other.process(message(3, ["bob"]))
        contact(other, b"bob", 3)
        await other.checkpoint()
        assert shell.changelog(LOG).next_offset == records + 2  # the layout is known
        assert contacts_of(other).end == records + 2
        await other.close()

    run(scenario, CAPPED)


def test_a_contact_that_was_written_before_its_customer_is_there() -> None:
    """After a crash between the two; the customer is then written, too, since markers count rows."""

    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.complete(0)
        await processor.process(message(0, ["ann"]))
        contact(processor, b"ann", 0)
        await processor.checkpoint()
        table = ContactTable(contacts_of(processor).table.layout)
        table.next_offset[0] = table.cells[0] = 2
        shell.foreign((b"eve", encode_contact_rows(table, np.array([0]))[0]), of=LOG)
        await begin_again(processor, shell, shell.changelog())
        assert seen(processor) == {b"ann": 0, b"eve": 2}
        await processor.process(message(1, ["bob"]))
        await processor.checkpoint()
        assert shell.markers()[-1].rows == 3
        await begin_again(processor, shell, shell.changelog())
        assert (seen(processor), len(block_of(processor).table)) == ({b"ann": 0, b"eve": 2}, 3)

    run(scenario, CAPPED)


def test_who_was_erased_meanwhile_has_no_contacts() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.complete(0)
        await processor.process(message(0, ["ann", "bob"]))
        contact(processor, b"ann", 0)
        contact(processor, b"bob", 1)
        await processor.checkpoint()
        shell.foreign((b"ann", None))  # no worker runs
        await begin_again(processor, shell, shell.changelog())
        assert seen(processor) == {b"bob": 1}
        assert len(block_of(processor).table) == 1
        await processor.checkpoint()
        log = shell.changelog(LOG)
        assert [log.value[i] for i in range(len(log)) if log.key[i] == b"ann"][-1] is None
        await begin_again(processor, shell, shell.changelog())
        assert (seen(processor), len(block_of(processor).table)) == ({b"bob": 1}, 1)
        shell.foreign((b"bob", None))  # while one runs
        await processor.checkpoint(assure=True)
        assert not contacts_of(processor).table.next_offset.any()
        await processor.checkpoint()
        log = shell.changelog(LOG)
        assert [log.value[i] for i in range(len(log)) if log.key[i] == b"bob"][-1] is None

    run(scenario, CAPPED)


def test_contacts_that_others_overwrote_are_written_again(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.complete(0)
        await processor.process(message(0, ["ann", "bob"]))
        contact(processor, b"ann", 0)
        await processor.checkpoint()
        old = shell.changelog(LOG)
        row = next(old.value[i] for i in range(len(old)) if old.key[i] == b"ann")
        contact(processor, b"ann", 5)
        await processor.checkpoint(assure=True)
        shell.foreign((b"ann", row), of=LOG)  # by who has lost the partition
        await processor.checkpoint(assure=True)
        await processor.checkpoint()
        log = shell.changelog(LOG)
        newest = [log.value[i] or b"" for i in range(len(log)) if log.key[i] == b"ann"][-1]
        assert newest[8:16] == (6).to_bytes(8, "little")

    with caplog.at_level(logging.WARNING):
        run(scenario, CAPPED)
    assert "foreign_contacts" in caplog.text


def test_a_partition_without_the_contacts_of_its_marker_is_refused() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.complete(0)
        await processor.process(message(0, ["ann"]))
        contact(processor, b"ann", 0)
        await processor.checkpoint()
        kept = shell.changelog()
        shell.sent = [one for one in shell.sent if one[0] != LOG]
        shell.offset[LOG] = 0
        with pytest.raises(StateError, match=r"t-contacts-changelog/0: expected contacts up to"):
            await begin_again(processor, shell, kept)

    run(scenario, CAPPED)


def test_rules_may_be_added_to_a_service_that_runs() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.complete(0)
        assert block_of(processor).contacts is None
        await processor.process(message(0, ["ann"]))
        await processor.checkpoint()
        assert [one.contacts for one in shell.markers()] == [msgspec.UNSET]
        other = Processor(CAPPED, processor.plan, "log", shell)
        await other.deploy(deployment())
        await begin_again(other, shell, shell.changelog())
        assert seen(other) == {}
        await other.close()

    shell = run(scenario, CAMPAIGN)
    assert not [topic for topic, _, _ in shell.sent if topic == LOG]
    assert marker.MARKER_KEY in [shell.changelog().key[i] for i in range(2)]
