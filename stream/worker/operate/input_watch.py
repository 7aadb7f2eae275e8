"""Warnings about what comes in: once a run, not once a record.

Rules of this file
1. A share of few records says nothing.
2. What makes the worker useless is a state, told when it begins and in the health file while it lasts;
   what an operator has to mend outside is told once.
"""

from __future__ import annotations

import logging

from stream.keys.key_sample import KEYS_MIN, disagreement
from stream.keys.partitioners import PARTITIONERS
from stream.log import log_event
from stream.worker.counting.input_counts import InputCounts, TopicCounts

KEYED_MIN = 1_000
"""Events of a topic from which on the share of foreign keys is judged."""
KEYS_SHARE_MAX = 0.01
LOGINS_MIN = 100
"""Logins of a topic from which on it is judged whether their ids are in the partitions of the customers."""
_HOME_MIN = 0.9
TOMBSTONES_MIN = 100
"""Tombstones of a topic that did nothing, from which on that is told."""
REFUSED_MIN = 1_000
"""Records in a row without an event that are told at once."""
_REFUSED_FEW_MIN = 20
"""Fewer are told when they are all that has come for a minute."""
_REFUSED_S = 60.0


class InputWatch:
    """Looks at the counts of a worker, summary after summary."""

    def __init__(self) -> None:
        self._told_keys: set[str] = set()
        self._told_apart: set[str] = set()
        self._told_tombstones: set[str] = set()
        self._told_partitioner = ""
        self._refused_since_s: dict[str, float] = {}
        self._all_refused: dict[str, str] = {}

    @property
    def status(self) -> str:
        """What is wrong now, a line for each topic; "" when nothing is."""
        return "\n".join(self._all_refused.values())

    def look(self, inputs: InputCounts, partitions: int, now_s: float) -> None:
        """Writes the lines that are due.

        Args:
            inputs: Of the worker.
            partitions: Of each topic.
            now_s: The time by any clock that only goes on, seconds.
        """
        for topic, counts in inputs.topics.items():
            self._look_at_refused(topic, counts, now_s)
            if topic not in self._told_keys and (reason := foreign_keys(counts)):
                self._told_keys.add(topic)
                log_event("keys", level=logging.WARNING, topic=topic, reason=reason)
            self._look_at_identity(topic, counts, inputs, partitions)
        reason = disagreement(inputs.keys.placed(partitions))
        if reason and not self._told_partitioner:
            self._told_partitioner = reason
            log_event("partitioner", level=logging.WARNING, reason=reason)

    def _look_at_identity(
        self, topic: str, counts: TopicCounts, inputs: InputCounts, partitions: int
    ) -> None:
        if topic not in self._told_apart and (reason := logins_apart(topic, inputs, partitions)):
            self._told_apart.add(topic)
            log_event(
                "login_apart", level=logging.WARNING, topic=topic, logins=counts.logins,
                unknown=counts.login_unknown, reason=reason,
            )  # fmt: skip
        if topic not in self._told_tombstones and (reason := idle_tombstones(counts)):
            self._told_tombstones.add(topic)
            log_event("tombstones", level=logging.WARNING, topic=topic, reason=reason)

    def _look_at_refused(self, topic: str, counts: TopicCounts, now_s: float) -> None:
        refused = counts.refused.total()
        if refused == 0:
            self._refused_since_s.pop(topic, None)
            if self._all_refused.pop(topic, None):
                log_event("all_refused_over", topic=topic)
            return
        lasts_s = now_s - self._refused_since_s.setdefault(topic, now_s)
        enough = refused >= REFUSED_MIN or (refused >= _REFUSED_FEW_MIN and lasts_s >= _REFUSED_S)
        if not enough or topic in self._all_refused:
            return
        ((code, count),) = counts.refused.most_common(1)
        reason = (
            f"{counts.example}. Operator action: run `opportune doctor`, which looks at the records "
            "themselves, and correct the section [events] of the campaign file or the producer"
        )
        self._all_refused[topic] = f"all_refused {topic}: {code}: {counts.example}"
        log_event(
            "all_refused", level=logging.WARNING, topic=topic, records=refused, code=code,
            of_code=count, reason=reason,
        )  # fmt: skip


def foreign_keys(counts: TopicCounts) -> str:
    """What to do about keys that are not the customer; "" when there are few of them."""
    events = counts.events
    differ, null = counts.key_differs, counts.key_null
    if events < KEYED_MIN or differ + null <= KEYS_SHARE_MAX * events:
        return ""
    got = [
        f"{count:,} {what}"
        for count, what in ((differ, "with another key"), (null, "without a key"))
        if count
    ]
    return (
        f"expected events keyed by their customer, got {' and '.join(got)} of {events:,}: the key decides "
        "about the partition, so one customer may have several rows, each with a part of the events "
        "and of what was said about consent. Operator action: have the producers send the customer id as "
        "key of the record, or copy the topic keyed by customer and name the copy in topics.events"
    )


def logins_apart(topic: str, inputs: InputCounts, partitions: int) -> str:
    """What to do about ids whose events are in other partitions than the logins; "" when nothing says so."""
    counts = inputs.topics[topic]
    if counts.logins < LOGINS_MIN or 2 * counts.login_unknown <= counts.logins:
        return ""
    keys, previous = (of.placed(partitions).get(topic) for of in (inputs.keys, inputs.previous))
    if keys is None or previous is None or previous.keys < KEYS_MIN:
        return ""
    if keys.partitioner not in PARTITIONERS or previous.fit[keys.partitioner] >= _HOME_MIN:
        return ""
    return (
        f"expected the events of an id in the partition of the customer who logs in, got {counts.logins:,} "
        f"logins, {counts.login_unknown:,} of them with an id that their partition has never seen, and "
        f"{previous.fit[keys.partitioner]:.0%} of the ids are keys of it ({keys.partitioner}): what the "
        "customer did before the login is not carried over. Operator action: have all events of a device "
        "keyed by what stays the same at a login, or copy the topic keyed so (docs/events.md, Identity)"
    )


def idle_tombstones(counts: TopicCounts) -> str:
    """What to do about tombstones that nobody is forgotten by; "" when there are few of them."""
    if counts.tombstones < TOMBSTONES_MIN or counts.forgotten:
        return ""
    return (
        f"{counts.tombstones:,} records with a key and no value have come, and no customer was forgotten. "
        'Operator action: set events.tombstones to "forget" if they say that customers are to be '
        "forgotten; if it is, compare their keys with customer ids; they are counted otherwise"
    )
