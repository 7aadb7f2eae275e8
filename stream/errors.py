"""Every error that Opportune raises on purpose, grouped by who has to act.

A record that cannot be used is not an error but a value (`stream.columns.Reject`): the sender acts,
the worker goes on. An `OperatorError` stops the command with its message and no traceback.
"""

from __future__ import annotations


class OperatorError(Exception):
    """Something that the person who runs Opportune has to change; the message says what."""


class CampaignError(OperatorError):
    """The campaign file is wrong: names the path in the file, the value and what was expected."""


class KafkaLayoutError(OperatorError):
    """Topics do not fit together: partition counts, cleanup policy, a missing topic."""


class PositionError(OperatorError):
    """An event topic is not the one whose offsets the state counts: created anew, or cut back."""


class StateError(OperatorError):
    """A changelog row or marker cannot be read: written by another version or damaged."""


class ClockError(OperatorError):
    """The clocks of the broker and of this machine differ by more than the topic allows."""
