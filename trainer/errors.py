"""What the person who trains a model has to change."""

from __future__ import annotations

from stream.errors import OperatorError


class TrainingError(OperatorError):
    """The history cannot be read, or does not hold what a model needs; the message says what."""
