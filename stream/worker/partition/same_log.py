"""Whether an event topic is still the log whose offsets the state counts.

A topic that was deleted and created anew, a log that was cut back, or a cluster that was replaced by a
mirror has the same name and other records at the same offsets. Going on there would skip events, or
decide on what was counted twice, and the lag would look right. So it is refused, until the campaign
file accepts the topic as it is now (`topics.anew`).

Rules of this file
1. A topic id that differs settles it. Where there is none, offsets and leader epochs speak.
2. What was accepted counts from another epoch on: its offsets come after all that were there before, in
   rows (`Source.word`), in markers and in the ids of decisions.
3. Of two doubts the events decide: rather decided again, under another id, than never.

No Kafka, no clock.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from stream.campaign.file import Campaign
from stream.campaign.topics_section import AnewSpec
from stream.errors import PositionError
from stream.log import log_event
from stream.state.marker import Progress, Source
from stream.worker.partition.block import Block
from stream.worker.partition.blocks import Blocks
from stream.worker.partition.restore import NotRestored


class Found(NamedTuple):
    """What the broker says of a partition of an event topic.

    Attributes:
        begin: Offset of the first record that is there.
        end: Offset after the last one that can be read.
        id: Topic id, None when the broker tells none.
        branch: Offset at which the log leaves what was read of it, None when it does not.
    """

    begin: int
    end: int
    id: str | None = None
    branch: int | None = None


class Known(NamedTuple):
    """What was read of a partition: the offset before which all is, and of which log."""

    offset: int
    source: Source


class Fault(NamedTuple):
    """Why a log cannot be the one that was read.

    Attributes:
        reason: In words.
        seen: Offset that was read to, or committed.
        start: Where to go on if the topic is accepted.
        committed: What is then to be committed: events before it only rebuild the table.
    """

    reason: str
    seen: int
    start: int
    committed: int


def find_fault(known: Known, committed: int, found: Found) -> Fault | None:
    """Why a partition cannot be gone on with, None if it can.

    Args:
        known: What the state has seen of it.
        committed: Offset that the group has committed, 0 for none.
        found: What is there.
    """
    offset, source = known
    seen, begin, end = max(offset, committed), found.begin, found.end
    ids_known = source.id is not None and found.id is not None
    if seen and ids_known and source.id != found.id:
        reason = f"it was deleted and created anew, the id was {source.id}"
        return Fault(reason, seen, begin, begin)
    if offset > end:
        start = min(end, end if found.branch is None else found.branch)
        return Fault("it was cut back, created anew, or is a mirror", seen, start, start)
    if found.branch is not None and found.branch < offset:
        reason = f"it was cut back to offset {found.branch} and written on"
        return Fault(reason, seen, found.branch, found.branch)
    if committed > end:
        # Of the same topic it was decided up to its end before the features were changed.
        reason = "it was cut back, created anew, or is a mirror"
        return Fault(reason, seen, offset, end if ids_known else offset)
    return None


class Positions:
    """Compares what the state knows of the event topics with what is there.

    Args:
        campaign: The campaign file, with the topics that it accepts anew.
        blocks: The state by partition.
    """

    def __init__(self, campaign: Campaign, blocks: Blocks) -> None:
        self._blocks = blocks
        self._anew: Mapping[str, AnewSpec] = {spec.topic: spec for spec in campaign.topics.anew}

    def covered(self, topic: str, partition: int) -> Known:
        """What the state has of a topic before its partition begins."""
        block = self._blocks.get(partition)
        progress = Progress() if block is None else block.progress
        return Known(progress.covered.get(topic, 0), progress.sources.get(topic, Source()))

    def taken(self, topic: str, partition: int) -> Known | None:
        """What the state has of a topic that is being read; None when it is not."""
        block = self._blocks.get(partition)
        if block is None or topic not in block.expected:
            return None
        offset = block.position[topic]  # before the log that it is of, which may be a newer one
        return Known(offset, block.sources.get(topic, Source()))

    def settle(
        self,
        partition: int,
        committed: Mapping[str, int | None],
        found: Mapping[str, Found],
    ) -> dict[str, Fault]:
        """Before a partition begins: takes over what is there into its state, or refuses it.

        Args:
            partition: Which.
            committed: Committed offset by event topic, None for none.
            found: What is there, by event topic.

        Returns:
            What was accepted, by topic.

        Raises:
            NotRestored: The restore is not through.
            StateError: What was restored is not a whole table.
            PositionError: A topic is not the one that the state has seen, and was not accepted.
        """
        block = self._restored(partition)
        accepted, wrong = dict[str, Fault](), list[str]()
        for topic, now in sorted(found.items()):
            known = self.covered(topic, partition)
            fault = find_fault(known, committed[topic] or 0, now)
            if fault is not None and self._accepts(topic, known.source.epoch, now.id):
                accepted[topic] = fault
            elif fault is not None:
                wrong.append(self._refusal(f"{topic}/{partition}", known, fault, now))
            elif known.source.epoch > self._epoch(topic):
                wrong.append(self._missing(topic, known.source))
        if wrong:
            raise PositionError(". ".join(wrong))
        for topic, now in found.items():
            self._take_over(block, f"{topic}/{partition}", topic, now, accepted.get(topic))
        return accepted

    def _restored(self, partition: int) -> Block:
        block, where = self._blocks.get(partition), f"partition {partition}"
        if block is None or block.restore is None:
            raise NotRestored(f"{where}: expected a restore before it begins, got none")
        block.restore.check(block.table, block.progress, where)
        return block

    def check(self, tp: str, known: Known, offset: int, now: Found) -> PositionError | None:
        """What is wrong with a partition while it is read; None if nothing is.

        Args:
            tp: Topic and partition, topic/number.
            known: What is in the table.
            offset: Where it is being read.
            now: What is there.
        """
        at = Known(max(known.offset, offset), known.source)
        fault = find_fault(at, 0, now)
        return None if fault is None else PositionError(self._refusal(tp, at, fault, now))

    def _refusal(self, tp: str, known: Known, fault: Fault, now: Found) -> str:
        topic = tp.rpartition("/")[0]
        epoch = 1 + max(known.source.epoch, self._epoch(topic))
        spec = AnewSpec(topic=topic, epoch=epoch, id=now.id or "")
        others = [other for other in self._anew.values() if other.topic != topic]
        of_id = f" with the id {now.id}" if now.id else ""
        return (
            f"{tp}: expected to go on at offset {fault.seen}, got a topic{of_id} that holds the "
            f"offsets {now.begin} to {now.end}: {fault.reason}. Operator action: bring back the topic "
            f"that was read, or accept this one with `anew = {_as_toml([*others, spec])}` in topics of "
            f"the campaign file: it is read from offset {fault.start} on, and customers keep what is "
            "known of them (docs/operations.md, When a topic is created anew)"
        )

    def _take_over(
        self, block: Block, tp: str, topic: str, now: Found, fault: Fault | None
    ) -> None:
        progress = block.progress
        before = progress.sources.get(topic, Source())
        source = Source(now.id or before.id, before.leader_epoch, self._epoch(topic))
        if fault is not None:
            log_event(
                "anew", level=logging.WARNING, tp=tp, seen=fault.seen, offset=fault.start,
                begin=now.begin, end=now.end, id=now.id, id_before=before.id, epoch=source.epoch,
                reason=fault.reason,
            )  # fmt: skip
            progress.covered[topic] = fault.start
            progress.order = [run for run in progress.order if run[0] != topic]
            progress.aligned = [stretch.without(topic) for stretch in progress.aligned]
            progress.reached_ms.pop(topic, None)
            block.silent_until.pop(topic, None)
        if fault is not None or (before.id and before.id != source.id):
            source = Source(source.id, -1, source.epoch)
        if source != before:
            block.owes_marker |= bool(progress.covered)
            progress.sources[topic] = source

    def _accepts(self, topic: str, epoch: int, topic_id: str | None) -> bool:
        spec = self._anew.get(topic)
        return spec is not None and spec.epoch > epoch and topic_id in (None, spec.id)

    def _epoch(self, topic: str) -> int:
        spec = self._anew.get(topic)
        return 0 if spec is None else spec.epoch

    def _missing(self, topic: str, source: Source) -> str:
        spec = AnewSpec(topic=topic, epoch=source.epoch, id=source.id or "")
        return (
            f"expected `anew` in topics of the campaign file to say that {topic} was accepted for the "
            f"{source.epoch}. time, as the state has it, got {self._epoch(topic)}: the ids of decisions "
            f"depend on it. Operator action: put it back, `anew = {_as_toml([spec])}`"
        )


def _as_toml(specs: Sequence[AnewSpec]) -> str:
    entries = (f'{{ topic = "{s.topic}", epoch = {s.epoch}, id = "{s.id}" }}' for s in specs)
    return f"[{', '.join(entries)}]"
