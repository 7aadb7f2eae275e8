"""Whether an event topic is still the log that the state has seen: judged without a broker."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from stream.campaign.file import parse
from stream.campaign.topics_section import AnewSpec
from stream.columns import Spans
from stream.errors import PositionError
from stream.kafka.records import RecordReader
from stream.pipeline import Pipeline
from stream.state import changelog
from stream.state.marker import Marker, Progress, Source, encode_marker
from stream.state.table import CustomerTable
from stream.worker.partition.blocks import Blocks
from stream.worker.partition.restore import NotRestored
from stream.worker.partition.same_log import Fault, Found, Known, Positions, find_fault
from stream.worker.processor import Processor
from tests.stream.worker.processor_harness import (
    CAMPAIGN,
    PLAN,
    Shell,
    deployment,
    message,
    placed,
    restore,
    run,
    settle,
)

OLD = Source(id="old", leader_epoch=3)
NOW_MS = 1_770_000_000_000


def accepting(*anew: AnewSpec) -> Any:
    return replace(CAMPAIGN, topics=replace(CAMPAIGN.topics, anew=anew))


def spec(epoch: int = 1, topic_id: str = "new") -> AnewSpec:
    return AnewSpec(topic="events", epoch=epoch, id=topic_id)


@pytest.mark.parametrize(
    ("source", "offset", "committed", "found"),
    [
        (OLD, 50, 50, Found(0, 50, "old")),  # at the end
        (OLD, 50, 90, Found(70, 90, "old")),  # retention was faster: told elsewhere
        (Source(), 50, 50, Found(0, 60, "new")),  # a marker from before ids were kept
        (OLD, 50, 50, Found(0, 60, None)),  # a broker that tells none
        (OLD, 0, 0, Found(0, 60, "new")),  # nothing of the old one was ever seen
        (Source(), 0, 40, Found(0, 60, "new")),  # another layout of the table
    ],
)
def test_a_log_that_may_be_the_one_that_was_read_is_gone_on_with(
    source: Source, offset: int, committed: int, found: Found
) -> None:
    assert find_fault(Known(offset, source), committed, found) is None


@pytest.mark.parametrize(
    ("source", "offset", "committed", "found", "seen", "start", "then_committed"),
    [
        (OLD, 50, 50, Found(0, 20, "new"), 50, 0, 0),
        (OLD, 50, 50, Found(0, 900, "new"), 50, 0, 0),
        (OLD, 50, 50, Found(5, 900, "new"), 50, 5, 5),
        (OLD, 0, 50, Found(0, 900, "new"), 50, 0, 0),
        (OLD, 50, 50, Found(0, 20, "old"), 50, 20, 20),
        (OLD, 50, 50, Found(0, 20, "old", 10), 50, 10, 10),
        (OLD, 50, 50, Found(0, 900, "old", 20), 50, 20, 20),
        (Source(), 50, 50, Found(0, 20, None), 50, 20, 20),
        (OLD, 10, 50, Found(0, 20, "old"), 50, 10, 20),  # a rebuild: what is left was decided
        (Source(), 0, 50, Found(0, 20, "new"), 50, 0, 0),  # nobody knows: rather twice than never
    ],
)  # fmt: skip
def test_a_log_that_cannot_be_the_one_that_was_read_is_a_fault(
    source: Source, offset: int, committed: int, found: Found,
    seen: int, start: int, then_committed: int,
) -> None:  # fmt: skip
    fault = find_fault(Known(offset, source), committed, found)
    assert fault is not None
    assert (fault.seen, fault.start, fault.committed) == (seen, start, then_committed)


class State:
    """A restored partition that has seen events up to offset 50 of the old topic."""

    def __init__(self, *anew: AnewSpec, source: Source = OLD, covered: int = 50) -> None:
        self.blocks = Blocks(PLAN.row_words)
        self.block = self.blocks.restore_all(0, 0, 0)
        self.block.progress.covered = {"events": covered}
        self.block.progress.order = [("events", 60), ("mails", 9)]
        self.block.progress.sources = {"events": source}
        self.positions = Positions(accepting(*anew), self.blocks)

    def settle(self, found: Found, committed: int | None = 50) -> dict[str, Fault]:
        return self.positions.settle(0, {"events": committed}, {"events": found})

    @property
    def source(self) -> Source:
        return self.block.progress.sources["events"]


def test_what_was_not_accepted_is_refused_with_what_to_do() -> None:
    state = State()
    with pytest.raises(PositionError) as error:
        state.settle(Found(0, 20, "new"))
    for part in ("events/0", "offset 50", "id new", "0 to 20", "id was old", "Operator action"):
        assert part in str(error.value)
    assert (state.source, state.block.progress.covered) == (OLD, {"events": 50})
    pasted = re.search(r"`(anew = \[.*\])`", str(error.value))
    assert pasted
    campaign = parse(
        'app = "t"\ntopics = { events = ["events"], ' + pasted[1] + " }\n"
        'features = [{ op = "count", events = ["A"], half_lives = ["1d"] }]\n'
        'strategies = [{ id = "mail" }]\nmodel = { head = "choice", network = "linear" }\n'
        "policy = { do_nothing = false }\n"
    )
    assert campaign.topics.anew == (spec(),)
    assert State(*campaign.topics.anew).settle(Found(0, 20, "new"))


def test_what_was_accepted_begins_anew_and_only_once(caplog: pytest.LogCaptureFixture) -> None:
    state = State(spec())
    state.block.silent_until["events"] = 40
    with caplog.at_level("INFO", "opportune"):
        assert state.settle(Found(0, 20, "new"))["events"].start == 0
        assert state.settle(Found(0, 25, "new"), committed=0) == {}
    (told,) = [vars(record)["fields"] for record in caplog.records if vars(record)["evt"] == "anew"]
    assert (told["seen"], told["offset"], told["id"], told["id_before"]) == (50, 0, "new", "old")
    assert state.block.progress.covered == {"events": 0}
    assert state.block.progress.order == [("mails", 9)]
    assert state.source == Source("new", -1, 1)
    assert state.block.silent_until == {}
    assert state.block.owes_marker


def test_an_acceptance_is_for_one_topic_and_one_time() -> None:
    with pytest.raises(PositionError, match=r'epoch = 2, id = "newer"'):
        State(spec()).settle(Found(0, 20, "newer"))
    accepted = Source("new", 2, 1)
    with pytest.raises(PositionError, match=r'epoch = 2, id = "new"'):
        State(spec(), source=accepted).settle(Found(0, 20, "new"))
    assert State(spec(), source=accepted).settle(Found(0, 60, "new")) == {}


def test_an_acceptance_stays_in_the_campaign_file() -> None:
    with pytest.raises(
        PositionError, match=r'put it back, `anew = \[\{ topic = "events", epoch = 1'
    ):
        State(source=Source("new", 2, 1)).settle(Found(0, 60, "new"))


def test_an_acceptance_counts_from_its_epoch_on_where_nothing_was_wrong() -> None:
    state = State(spec(topic_id="old"))
    assert state.settle(Found(0, 60, "old")) == {}
    assert state.source == Source("old", 3, 1)
    assert state.block.progress.covered == {"events": 50}


def test_the_id_is_learned_from_a_broker_that_tells_it() -> None:
    state = State(source=Source())
    assert state.settle(Found(0, 60, "old")) == {}
    assert state.source == Source("old")
    assert state.block.owes_marker
    assert state.settle(Found(0, 60, None)) == {}
    assert state.source == Source("old")


def test_a_partition_that_is_not_restored_is_not_judged() -> None:
    state = State()
    state.blocks.restore_all(0, 0, 5)
    with pytest.raises(NotRestored):
        state.settle(Found(0, 60, "old"))
    assert state.positions.taken("events", 0) is None
    assert state.positions.covered("events", 7) == Known(0, Source())


def test_a_partition_is_checked_while_it_is_read() -> None:
    state = State()
    assert state.positions.check("events/0", Known(50, OLD), 55, Found(0, 55, "old")) is None
    assert state.positions.check("events/0", Known(50, OLD), 40, Found(0, 55, "old", None)) is None
    for found in (Found(0, 54, "old"), Found(0, 900, "new"), Found(0, 900, "old", 30)):
        error = state.positions.check("events/0", Known(50, OLD), 55, found)
        assert isinstance(error, PositionError)
        assert "offset 55" in str(error)


def test_a_marker_of_a_later_epoch_is_newer_whatever_its_offsets() -> None:
    def marker(epoch: int, offset: int) -> Marker:
        sources = {"events": Source("x", -1, epoch)}
        return Marker(version=1, covered={"events": offset}, sources=sources)

    progress = Progress()
    assert [progress.update(marker(*at)) for at in ((0, 50), (1, 3), (0, 70), (1, 2), (1, 4))] == [
        True, True, False, False, True,
    ]  # fmt: skip
    assert progress.covered == {"events": 4}


def test_markers_from_before_there_were_sources_are_read() -> None:
    marker = Marker(version=1, covered={"events": 5})
    assert (marker.sources, Source()) == ({}, Source(None, -1, 0))


def test_rows_of_a_topic_that_began_anew_are_further_than_all_before() -> None:
    table = CustomerTable(PLAN.row_words)
    before, after = Pipeline(CAMPAIGN, PLAN), Pipeline(accepting(spec()), PLAN)
    high, low = message(7_000, ["ann"]).value, message(0, ["ann"]).value
    step = before.step(high, table, deployment(), silent_until=0, now_ms=NOW_MS)
    old = changelog.encode_rows(table, np.array([0]))
    assert before.step(low, table, deployment(), silent_until=0, now_ms=NOW_MS).decided == 0
    for decided in (1, 0):  # counted, and then known
        step = after.step(low, table, deployment(), silent_until=0, now_ms=NOW_MS)
        assert step.decided == decided
    new = changelog.encode_rows(table, np.array([0]))
    assert PLAN.describe(table.state[0])["next_offset"] == {"events": 1}
    count = table.state[0].copy()
    for log in ((old, new), (new, old)):  # in whichever order they are read
        restored = CustomerTable(PLAN.row_words)
        for key, value in log:
            changelog.apply_chunk(placed(key, value, 0), restored, PLAN.offset_words, Progress())
        assert restored.state[0].tobytes() == count.tobytes()


def test_a_topic_that_began_anew_has_other_decision_ids() -> None:
    chunk = message(3, ["ann"]).value
    without_id = re.sub(rb'"messageId":"[^"]*",', b"", chunk.value[0] or b"")
    chunk = dataclasses.replace(chunk, value=Spans.of([without_id]))
    ids = []
    for campaign in (CAMPAIGN, accepting(spec(epoch=2))):
        table = CustomerTable(PLAN.row_words)
        pipeline = Pipeline(campaign, PLAN)
        (batch,) = pipeline.step(
            chunk, table, deployment(), silent_until=0, now_ms=NOW_MS
        ).decisions
        (sent,) = RecordReader("out", 0, bytes(batch.seal(-1, -1, -1)), 0, 10)
        ids.append(re.findall(rb'"(?:id|causationid)":"([^"]*)"', sent.value[0] or b""))
    assert ids == [[b"events-0-3-1", b"events-0-3"], [b"events~2-0-3-1", b"events~2-0-3"]]


def test_a_marker_says_of_which_log_its_offsets_are_also_when_no_event_comes() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        shell.sent.clear()
        restore(processor)
        block = processor.blocks.get(0)
        assert block is not None
        block.progress.covered, block.progress.sources = {"events": 50}, {"events": OLD}
        accepted = processor.positions.settle(0, {"events": 50}, {"events": Found(0, 20, "new")})
        assert accepted["events"].start == 0
        assert processor.begin(0, {"events": 0}, {"events": 20}) == {"events": 0}
        await processor.checkpoint()
        (first,) = shell.markers()
        assert (first.covered, first.sources) == ({"events": 0}, {"events": Source("new", -1, 1)})
        chunk = message(0, ["ann"])
        object.__setattr__(chunk.value, "leader_epoch", 4)
        await processor.process(chunk)
        await settle()
        assert processor.positions.taken("events", 0) == Known(1, Source("new", 4, 1))
        await processor.checkpoint()
        assert shell.markers()[-1].sources == {"events": Source("new", 4, 1)}

    run(scenario, accepting(spec()))


def test_golden_bytes_of_a_marker_with_its_sources() -> None:
    progress = Progress({"events": 42}, [("events", 50)], rows=3)
    progress.sources = {"events": Source("Zkq3JOjEQN27lSU7z7IaGw", 4, 1)}
    assert encode_marker(progress) == (
        b'{"version":1,"covered":{"events":42},"order":[["events",50]],"rows":3,'
        b'"sources":{"events":{"id":"Zkq3JOjEQN27lSU7z7IaGw","leader_epoch":4,"epoch":1}},"generation":0}'
    )
