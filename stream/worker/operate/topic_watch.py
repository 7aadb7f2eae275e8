"""Sees that the topics of a running worker stay what they were when it started.

Nothing else would tell: to a producer a topic that was deleted is one whose leader is not known yet,
and to a consumer it is one without new records.

Rules
1. Only what a broker says for certain counts, and that a topic is gone only when it is said twice.
2. Partitions are never taken away and an id never changes: more of them, or another, are certain.
3. The changelog, which Faust creates after the start, is missing only after partitions have begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Protocol

from aiokafka.errors import KafkaError
from faust.exceptions import NotReady

from stream.campaign.topics_section import Topics
from stream.errors import KafkaLayoutError
from stream.kafka.topic_ids import Topic
from stream.worker.processor import Processor
from stream.worker.topics import check_partitions

_INTERVAL_S = 3.0
_RESTART = "Operator action: stop all workers and start them again"


class TopicWatch:
    """Judges what is said about the topics, look after look.

    Args:
        topics: Of the campaign.
        changelog: Name of the changelog.
        partitions: Of all of them, at the start.
    """

    def __init__(self, topics: Topics, changelog: str, partitions: int) -> None:
        self.names = (*topics.events, topics.decisions, topics.dead_letter, changelog)
        self._topics = topics
        self._changelog = changelog
        self._partitions = partitions
        self._ids: dict[str, str | None] = {}
        self._missing: set[str] = set()

    def look(self, found: Mapping[str, Topic | None], *, begun: bool) -> None:
        """Takes one answer of a broker.

        Args:
            found: See `topic_ids.describe`.
            begun: Whether partitions had begun before it was asked.

        Raises:
            KafkaLayoutError: A topic was deleted, deleted and created again, or has other partitions.
        """
        missing = {name for name, topic in found.items() if topic is None}
        if not begun:
            missing.discard(self._changelog)
        gone = sorted(missing & self._missing)
        self._missing = missing
        there = {name: topic for name, topic in found.items() if topic is not None}
        again = [name for name, topic in there.items() if self._is_another(name, topic)]
        if gone or again:
            raise KafkaLayoutError(". ".join(
                [self._deleted(name, again=False) for name in gone]
                + [self._deleted(name, again=True) for name in again]
            ))  # fmt: skip
        counts = {name: topic.partitions for name, topic in there.items()}
        more = {name: count for name, count in counts.items() if count != self._partitions}
        if more:
            self._refuse_partitions(counts, more)

    def _is_another(self, name: str, topic: Topic) -> bool:
        return topic.id is not None and self._ids.setdefault(name, topic.id) != topic.id

    def _refuse_partitions(self, counts: dict[str, int], more: Mapping[str, int]) -> None:
        # What was not told of is as it was: the sentences are those of the start.
        known = dict.fromkeys(self.names, self._partitions) | counts
        check_partitions(known, self._topics, self._changelog)
        raise KafkaLayoutError(  # all of them alike
            f"expected {self._partitions} partitions of every topic, as at the start, got {dict(more)}. "
            f"{_RESTART} if customers are still in the same partition numbers (docs/operations.md, "
            "More partitions)"
        )

    def _deleted(self, name: str, *, again: bool) -> str:
        how = "deleted and created again" if again else "deleted"
        said = f"topic {name!r} was {how} while the worker ran. "
        if name in self._topics.events and again:
            return said + (
                f"{_RESTART}: they say how the topic that is there now can be accepted "
                "(docs/operations.md, When a topic is created anew)"
            )
        if name in self._topics.events:
            return said + (
                "Operator action: create it with the producers' partition count, or correct "
                "topics.events; events that were not decided before are lost with it"
            )
        if name == self._changelog:
            return said + (
                f"{_RESTART}: the table is rebuilt from the event topics, without publishing again "
                "(docs/operations.md, What lasts)"
            )
        return said + (
            f"{_RESTART}: the topic is created where it is missing, and what was published since "
            "the last checkpoint is published once more; what was on it before is lost"
        )


class Asking(Protocol):
    """A running worker that can ask a broker about topics."""

    @property
    def processor(self) -> Processor:
        """What happens to a chunk."""

    @property
    def should_stop(self) -> bool:
        """Whether it is to end."""

    async def describe(self, topics: Collection[str]) -> Mapping[str, Topic | None]:
        """What a broker says about topics, see `topic_ids.describe`."""

    def fail(self, error: BaseException) -> None:
        """Crashes it."""


async def watch_topics(worker: Asking, watch: TopicWatch) -> None:
    """Asks about the topics every few seconds, until the worker stops or one is not what it was.

    Args:
        worker: It is crashed with what was found.
        watch: Judges the answers.
    """
    while not worker.should_stop:
        begun = any(worker.processor.blocks)
        found: Mapping[str, Topic | None] = {}
        # A broker that is away says nothing about topics; aiokafka tells of it.
        with suppress(KafkaError, NotReady):
            found = await worker.describe(watch.names)
        try:
            watch.look(found, begun=begun)
        except KafkaLayoutError as exc:
            worker.fail(exc)
            return
        await asyncio.sleep(_INTERVAL_S)
