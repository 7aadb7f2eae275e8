"""What lies in the decision topic beyond the marker is taken over, by whoever takes the partition next."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
import pytest

from stream.campaign.file import Campaign
from stream.features.plan import compile_features
from stream.worker import adoption
from stream.worker.processor import Processor
from tests.stream.worker.processor_harness import (
    CAMPAIGN,
    TWO_TOPICS,
    Shell,
    begin,
    block_of,
    deployment,
    message,
    run,
    settle,
)

FLAT = msgspec.structs.replace(
    CAMPAIGN, decisions=msgspec.structs.replace(CAMPAIGN.decisions, format="flat")
)


async def take(processor: Processor, chunk: Any) -> None:
    """A worker takes a chunk, and its decisions leave."""
    await processor.process(chunk)
    await settle()


async def take_over(shell: Shell, campaign: Campaign = CAMPAIGN) -> Processor:
    """The owner was killed; another worker takes the partition."""
    other = Processor(campaign, compile_features(campaign), "log", shell)
    await other.deploy(deployment())
    log = shell.changelog() if shell.offset.get("log") else None
    begin(
        other, dict.fromkeys(campaign.topics.events), dict.fromkeys(campaign.topics.events, 9), log
    )
    await other.complete(0)
    return other


@pytest.mark.parametrize("campaign", [CAMPAIGN, FLAT], ids=["cloudevents", "flat"])
def test_what_was_published_is_not_published_again(
    campaign: Campaign, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.complete(0)
        await take(processor, message(0, ["ann", "bob"]))
        await processor.checkpoint()
        await take(processor, message(2, ["ann", "eve"]))
        other = await take_over(shell, campaign)
        assert shell.markers()[-1].decided == 2
        await take(other, message(2, ["ann", "eve", "bob"]))
        assert shell.decided() == [2, 2, 1]
        assert block_of(other).table.find(b"eve") >= 0
        await other.checkpoint()
        assert (shell.markers()[-1].decided, shell.markers()[-1].covered) == (5, {"events": 5})
        third = await take_over(shell, campaign)
        assert not block_of(third).decisions.published
        await take(third, message(5, ["ann"]))
        assert shell.decided() == [2, 2, 1, 1]
        for one in (other, third):
            await one.close()

    with caplog.at_level(logging.INFO):
        run(scenario, campaign)
    (line,) = [one for one in caplog.messages if one.startswith("adopted")]
    assert "tp=out/0 decisions=2 offset=2 until=4 foreign=0" in line


def test_a_second_crash_takes_over_what_the_first_had_left() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.complete(0)
        await take(processor, message(0, ["ann", "bob", "eve"]))
        other = await take_over(shell)
        await take(other, message(0, ["ann"]))
        await other.checkpoint()  # bob and eve are still to come
        assert (shell.markers()[-1].decided, shell.markers()[-1].covered) == (0, {"events": 1})
        third = await take_over(shell)
        await take(third, message(1, ["bob", "eve", "joe"]))
        assert shell.decided() == [3, 1]
        for one in (other, third):
            await one.close()

    run(scenario)


def test_a_marker_says_no_more_than_what_is_acknowledged() -> None:
    """Decisions that are on their way when a checkpoint begins belong to the next."""

    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.complete(0)
        await take(processor, message(0, ["ann"]))
        shell.auto = False
        checkpoint = asyncio.create_task(processor.checkpoint())
        await settle()
        await take(processor, message(1, ["bob"]))
        for i in range(1, 100):
            if checkpoint.done():
                break
            if not shell.sent[i][2].done():
                shell.acknowledge(i)
            await settle()
        assert shell.markers()[-1].covered == {"events": 1}
        assert shell.markers()[-1].decided == 1

    run(scenario)


@pytest.mark.parametrize("records", [3, 40])
def test_without_a_place_in_the_marker_it_is_looked_for_from_the_end(
    records: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A marker of an earlier version, or none since the features have changed."""
    monkeypatch.setattr(adoption, "_LOOKED_BACK", 4)

    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.complete(0)
        for first in range(20):
            await take(processor, message(first, ["ann"]))
        await processor.checkpoint()
        for first in range(20, 20 + records):
            await take(processor, message(first, ["bob"]))
        other = Processor(CAMPAIGN, processor.plan, "log", shell)
        await other.deploy(deployment())
        begin(other, {"events": 20}, {"events": 99})  # another changelog: rebuilt in silence
        await other.complete(0)
        (published,) = block_of(other).decisions.published.values()
        assert len(published.place) == records
        assert block_of(other).decisions.begin <= 20
        await other.close()

    run(scenario)


def test_decisions_of_others_are_stepped_over() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.complete(0)
        await take(processor, message(0, ["ann"]))
        shell.foreign((b"k", b"{}"), (b"k", b"\xff"), (b"k", None), of="out")
        other = await take_over(shell)
        await take(other, message(0, ["ann", "bob"]))
        assert shell.decided() == [1, 3, 1]
        await other.close()

    run(scenario)


def test_several_topics_are_taken_over_in_their_order() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.complete(0)
        for first in range(3):
            await take(processor, message(first, ["ann"], topic="events"))
            await take(processor, message(first, ["ann"], topic="mails"))
        published = sum(shell.decided())
        assert published == 6
        other = await take_over(shell, TWO_TOPICS)
        for topic in TWO_TOPICS.topics.events:
            await take(other, message(0, ["ann"] * 3, topic=topic))
        assert sum(shell.decided()) == published
        await other.close()

    run(scenario, TWO_TOPICS)
