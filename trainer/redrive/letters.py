"""Which dead letters are sent again: read from their headers, judged by the campaign as it is now.

Pure: no Kafka, no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from msgspec.structs import replace

from stream.campaign.file import Campaign
from stream.codecs import event_decoder
from stream.columns import RecordChunk, Spans
from stream.decisions.dead_letter import original_headers
from stream.events.decoder import NEVER_MS
from stream.features.plan import compile_features
from stream.kafka.headers import Header, header_spans
from stream.schemas.registry import registry_of


class Fate(Enum):
    """What becomes of a letter; the value says it in words."""

    READABLE = "readable now"
    REFUSED = "still refused"
    CUT = "cut: the letter has not all of the record"
    ELSEWHERE = "of a topic that the campaign file does not name"
    NO_LETTER = "without the headers of a letter"


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter.

    Attributes:
        key: Key of the record.
        value: Value of the record.
        topic: Event topic that it came from.
        partition: Partition there.
        timestamp_ms: Record timestamp there, epoch milliseconds; -1 for none.
        code: Why it was no event.
        is_cut: Whether key, value or headers are not whole.
        headers: Headers of the record.
    """

    key: bytes | None
    value: bytes | None
    topic: str
    partition: int
    timestamp_ms: int
    code: str
    is_cut: bool
    headers: Sequence[Header] = ()

    @classmethod
    def of(cls, key: bytes | None, value: bytes | None, headers: Sequence[Header]) -> Letter | None:
        """Reads what a worker wrote; None for what is no letter."""
        said = {name: content for name, content in headers if content is not None}
        try:
            return cls(
                key,
                value,
                said["topic"].decode(),
                int(said["partition"]),
                int(said["timestamp"]),
                said["code"].decode(),
                "truncated" in said,
                original_headers(headers),
            )
        except (KeyError, ValueError):  # a header is missing, or is no text or number
            return None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters are asked for; what is empty or None asks for all.

    Attributes:
        codes: Reasons.
        topics: Event topics that they came from.
        since_ms: Record timestamp of the oldest, epoch milliseconds.
        until_ms: Record timestamp before which the newest is.
    """

    codes: frozenset[str] = frozenset()
    topics: frozenset[str] = frozenset()
    since_ms: int | None = None
    until_ms: int | None = None

    def has(self, letter: Letter) -> bool:
        """Whether a letter is asked for."""
        return (
            (not self.codes or letter.code in self.codes)
            and (not self.topics or letter.topic in self.topics)
            and (self.since_ms is None or letter.timestamp_ms >= self.since_ms)
            and (self.until_ms is None or letter.timestamp_ms < self.until_ms)
        )


class LetterJudge:
    """Tells what a worker with the campaign file of now would make of letters.

    Args:
        campaign: The campaign file.
    """

    def __init__(self, campaign: Campaign) -> None:
        self._topics = frozenset(campaign.topics.events)
        # A tombstone that is sent again would forget what has come of the customer since.
        events = replace(campaign.events, tombstones="letter")
        self._decoder = event_decoder(
            replace(campaign, events=events), compile_features(campaign), registry_of(events)
        )

    def fates(self, letters: Sequence[Letter]) -> list[tuple[Fate, str]]:
        """What becomes of each letter, and for what is still refused the reason in a sentence."""
        said = [self._without_reading(letter) for letter in letters]
        read = [i for i, fate in enumerate(said) if fate is Fate.READABLE]
        reasons = [""] * len(letters)
        for topic in sorted({letters[i].topic for i in read}):
            of_topic = [i for i in read if letters[i].topic == topic]
            for k, reason in self._refused(topic, [letters[i] for i in of_topic]).items():
                said[of_topic[k]], reasons[of_topic[k]] = Fate.REFUSED, reason
        return list(zip(said, reasons, strict=True))

    def _without_reading(self, letter: Letter) -> Fate:
        if letter.topic not in self._topics:
            return Fate.ELSEWHERE
        return Fate.CUT if letter.is_cut else Fate.READABLE

    def _refused(self, topic: str, letters: Sequence[Letter]) -> dict[int, str]:
        """The reason by index of those that are no event."""
        chunk = RecordChunk(
            topic=topic,
            partition=0,
            offset=np.arange(len(letters)),
            timestamp_ms=np.array([letter.timestamp_ms for letter in letters], np.int64),
            key=Spans.of([letter.key for letter in letters]),
            value=Spans.of([letter.value for letter in letters]),
            next_offset=len(letters),
            headers=header_spans([letter.headers for letter in letters]),
        )
        rejects = self._decoder.decode(chunk, NEVER_MS).rejects
        return {reject.record: reject.reason for reject in rejects}
