"""Reads the dead-letter topic up to its end of now, and sends again what can be read now."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from stream.campaign.file import Campaign
from stream.kafka.client import look_only
from trainer.errors import TrainingError
from trainer.history.topics import TopicReader, broker_errors
from trainer.redrive.letters import Fate, Letter, LetterJudge, Wanted
from trainer.redrive.sent import SentLetters

HEADER = "opportune-redriven"
"""Header of a record that is sent again, behind its own; its value is where the letter stood."""
_BATCH_LETTERS = 500
_POLL_MS = 500
_STALLED_S = 60.0
_EXAMPLES_MAX = 3

OnLetters = Callable[[int, int], None]


@dataclass
class Summary:
    """What became of the letters.

    Attributes:
        letters: Letters that are asked for, by reason, event topic and fate.
        before: Letters that were sent by an earlier run.
        sent: Letters that were sent now.
        examples: Sentences about what is still refused.
        complete: Whether all letters were looked at.
    """

    letters: Counter[tuple[str, str, Fate]] = field(default_factory=Counter)
    before: int = 0
    sent: int = 0
    examples: list[str] = field(default_factory=list)
    complete: bool = True

    def count(self, fate: Fate) -> int:
        """Letters with a fate."""
        return sum(count for (_, _, which), count in self.letters.items() if which is fate)


class Redrive:
    """Goes through the letters of a campaign once.

    Args:
        campaign: The campaign file.
        bootstrap: Kafka address.
        wanted: Which letters are asked for.
        sent: Which were sent before.
        limit: Most letters to send; None for all.
        sends: Whether they are sent, or only looked at.
        on_letters: Told how many of how many letters were looked at.
    """

    def __init__(
        self,
        campaign: Campaign,
        bootstrap: str,
        wanted: Wanted,
        sent: SentLetters,
        *,
        limit: int | None = None,
        sends: bool = False,
        on_letters: OnLetters = lambda _done, _total: None,
    ) -> None:
        self._topic = campaign.topics.dead_letter
        self._events = campaign.topics.events
        self._bootstrap = bootstrap
        self._wanted = wanted
        self._sent = sent
        self._limit = limit
        self._sends = sends
        self._on_letters = on_letters
        self._judge = LetterJudge(campaign)
        self._summary = Summary()

    def run(self) -> Summary:
        """Looks at every letter that is there now.

        Raises:
            TrainingError: The broker cannot be reached, a topic is missing, or is not the one that
                the file of sent letters is about.
        """
        with broker_errors(self._bootstrap):
            return asyncio.run(self._run())

    async def _run(self) -> Summary:
        partitions = await self._partitions()
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap, acks="all", enable_idempotence=True
        )
        await producer.start()
        try:
            async for records in self._records(partitions):
                if not await self._take(records, producer):
                    self._summary.complete = False
                    break
        finally:
            await producer.stop()
        return self._summary

    async def _partitions(self) -> list[TopicPartition]:
        reader = TopicReader(self._bootstrap)  # it knows what is missing without creating it
        found = await reader.partitions([self._topic, *self._events])
        return [tp for tp in found if tp.topic == self._topic]

    async def _records(self, partitions: Sequence[TopicPartition]) -> AsyncIterator[list[Any]]:
        """The letters in pieces, up to where the topic ends now."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap, group_id=None, enable_auto_commit=False,
            isolation_level="read_committed",
        )  # fmt: skip
        look_only(consumer._client)
        await consumer.start()
        try:
            consumer.assign(list(partitions))
            begins = await consumer.beginning_offsets(partitions)
            ends = await consumer.end_offsets(partitions)
            self._sent.expect_within({tp.partition: end for tp, end in ends.items()})
            for tp, begin in begins.items():
                consumer.seek(tp, begin)
            total = sum(ends[tp] - begins[tp] for tp in partitions)
            quiet_s = 0.0
            while left := await _left(consumer, ends):
                self._on_letters(total - left, total)
                found = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_BATCH_LETTERS)
                records = [r for tp, part in found.items() for r in part if r.offset < ends[tp]]
                quiet_s = 0.0 if found else quiet_s + _POLL_MS / 1000
                if quiet_s > _STALLED_S:
                    raise TrainingError(
                        f"expected the rest of {self._topic} from {self._bootstrap}, got nothing for "
                        f"{quiet_s:g} s. Operator action: look at the log of the broker"
                    )
                if records:
                    yield records
            self._on_letters(total, total)
        finally:
            await consumer.stop()

    async def _take(self, records: Sequence[Any], producer: AIOKafkaProducer) -> bool:
        """Judges some letters and sends what can be read; False when the limit is reached."""
        asked: list[tuple[Any, Letter]] = []
        for record in records:
            letter = Letter.of(record.key, record.value, record.headers)
            if letter is None:
                self._summary.letters["", "", Fate.NO_LETTER] += 1
            elif self._sent.has(record.partition, record.offset):
                self._summary.before += 1
            elif self._wanted.has(letter):
                asked.append((record, letter))
        fates = self._judge.fates([letter for _, letter in asked])
        room = None if self._limit is None else self._limit - self._summary.count(Fate.READABLE)
        chosen: list[tuple[Any, Letter]] = []
        for (record, letter), (fate, reason) in zip(asked, fates, strict=True):
            if fate is Fate.READABLE and room is not None and len(chosen) == room:
                break
            self._summary.letters[letter.code, letter.topic, fate] += 1
            if fate is Fate.READABLE:
                chosen.append((record, letter))
            elif reason and len(self._summary.examples) < _EXAMPLES_MAX:
                place = f"{self._topic}/{record.partition} offset {record.offset}"
                self._summary.examples.append(f"{place}: {reason}")
        if self._sends and chosen:
            await self._send(chosen, producer)
        return room is None or len(chosen) < room

    async def _send(self, chosen: Sequence[tuple[Any, Letter]], producer: AIOKafkaProducer) -> None:
        """Sends records to where they came from, and notes it when all are acknowledged."""
        futures = []
        for record, letter in chosen:
            where = f"{self._topic}/{record.partition}@{record.offset}".encode()
            headers = [one for one in letter.headers if one[0] != HEADER]
            future = await producer.send(
                letter.topic, letter.value, letter.key, letter.partition,
                letter.timestamp_ms if letter.timestamp_ms >= 0 else None, [*headers, (HEADER, where)],
            )  # fmt: skip
            futures.append(future)
        await asyncio.gather(*futures)
        self._sent.add((record.partition, record.offset) for record, _ in chosen)
        self._summary.sent += len(chosen)


async def _left(consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> int:
    """Offsets that are still to be read."""
    return sum([max(0, end - await consumer.position(tp)) for tp, end in ends.items()])
