"""Errors of the doctor."""

from __future__ import annotations

from stream.errors import OperatorError


class DoctorError(OperatorError):
    """The topics cannot be looked at; the message says what is missing."""
