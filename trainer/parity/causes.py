"""Why a decision and its replay do not agree, or cannot be compared.

A cause that explains is a fact outside the feature code, found in the topics or the registry. Whatever
none of them explains is a fault until somebody knows better.
"""

from __future__ import annotations

import enum


class Cause(enum.IntEnum):
    """A cause; the order is that of the report, what explains nothing first."""

    DIFFERENT = 0
    NO_VECTOR = 1
    NO_EVENT = 2
    NO_DECISION = 3
    REPEAT_DIFFERS = 4
    UNREADABLE = 5
    HISTORY_CUT = 6
    ORDER_UNKNOWN = 7
    STATE_OF_REFUSED = 8
    EVENT_REFUSED = 9
    EVENT_REMOVED = 10
    DECISION_REMOVED = 11
    OTHER_TOPIC = 12
    OTHER_KERNEL = 13
    OTHER_CONTRACT = 14
    MODEL_UNKNOWN = 15
    EVENT_REPEATED = 16
    STATE_OF_REPEATED = 17

    @property
    def code(self) -> str:
        """Its name in the report."""
        return self.name.lower()

    @property
    def explains(self) -> bool:
        """Whether it makes a difference understandable."""
        return self >= Cause.HISTORY_CUT

    @property
    def meaning(self) -> str:
        """What it says, in words."""
        return _MEANING[self]


_MEANING = {
    Cause.DIFFERENT: "the vector differs from the replay and nothing explains it",
    Cause.NO_VECTOR: "decision without a features header of the right size",
    Cause.NO_EVENT: "decision about an event that is not in its topic and partition",
    Cause.NO_DECISION: "event that asks for a decision and has none, though later ones have",
    Cause.REPEAT_DIFFERS: "decision published again with another vector by the same model",
    Cause.UNREADABLE: "record of the decision topic that does not say which event it is about, "
    "such as a decision in the flat form",
    Cause.HISTORY_CUT: "the vector differs: events that the customer may have had were removed, by "
    "retention or from the archive",
    Cause.ORDER_UNKNOWN: "the vector differs: the customer has events in several topics, and the "
    "order in which the worker took them is not known to be that of event time",
    Cause.STATE_OF_REFUSED: "the vector differs: the worker took an event of the customer that a "
    "replay refuses, see event_refused",
    Cause.EVENT_REFUSED: "decision about an event whose time is too far ahead of its record; the "
    "worker had another events.timestamp_ahead_max, or none that was strict",
    Cause.EVENT_REMOVED: "decision about an event that was removed, by retention or from the archive",
    Cause.DECISION_REMOVED: "event older than the first decision that retention left",
    Cause.OTHER_TOPIC: "decision about an event of a topic that the campaign file does not name",
    Cause.OTHER_KERNEL: "decision with the same features by another version of the feature kernel",
    Cause.OTHER_CONTRACT: "decision with other features than those of the campaign file",
    Cause.MODEL_UNKNOWN: "decision by a model that is not in the registry: its normalization is "
    "not known",
    Cause.EVENT_REPEATED: "decision about a repetition of an event: the worker had another "
    "events.repeats_remembered",
    Cause.STATE_OF_REPEATED: "the vector differs: the worker counted an event of the customer twice, see "
    "event_repeated",
}
