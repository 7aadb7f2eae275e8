"""What came in on each event topic since the worker started, as far as senders and keys go.

Rules of this file
1. Counts and conclusions; what is said of them, and when, is `stream.worker.operate.input_watch`.
2. Chunks that a restart reads again are counted again: shares are what matters.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from stream.columns import RecordChunk
from stream.features.kernel import FORGOTTEN_ROWS, UNKNOWN_ROWS
from stream.keys.key_sample import KeySample
from stream.pipeline import Step


@dataclass(slots=True)
class TopicCounts:
    """One event topic.

    Attributes:
        records: Records.
        events: Those of them that are events.
        key_null: Events without a key.
        key_differs: Events with another key than their customer.
        logins: Events that tell of a login.
        login_unknown: Those of them with an id of which nothing was ever seen in its partition.
        tombstones: Records with a key and no value, but those that are letters.
        forgotten: Those of them whose customer had events.
        refused: Records that are no events since the last chunk with an event, by reason code.
        example: A reason in full.
    """

    records: int = 0
    events: int = 0
    key_null: int = 0
    key_differs: int = 0
    logins: int = 0
    login_unknown: int = 0
    tombstones: int = 0
    forgotten: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    example: str = ""


class InputCounts:
    """Of all event topics.

    Attributes:
        topics: By name.
        keys: Which partitioners have placed the keys.
        previous: Where they would place the ids before logins.
    """

    def __init__(self) -> None:
        self.topics: dict[str, TopicCounts] = {}
        self.keys = KeySample()
        self.previous = KeySample()

    def add(self, chunk: RecordChunk, step: Step) -> None:
        """Counts one chunk that has been computed."""
        if len(chunk) == 0:
            return
        counts = self.topics.setdefault(chunk.topic, TopicCounts())
        counts.records += len(chunk)
        counts.events += step.events
        counts.key_null += step.keys.null
        counts.key_differs += step.keys.differ
        if step.events:
            counts.refused.clear()
        elif step.rejects:
            counts.refused.update(reject.code for reject in step.rejects)
            counts.example = step.rejects[-1].reason
        counts.logins += len(step.previous)
        counts.login_unknown += int(step.counters[UNKNOWN_ROWS])
        counts.tombstones += step.tombstones
        counts.forgotten += int(step.counters[FORGOTTEN_ROWS])
        self.keys.add(chunk)
        if len(step.previous):
            self.previous.add(replace(chunk, key=step.previous))
