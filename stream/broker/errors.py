"""The one error of the embedded broker."""

from __future__ import annotations

from stream.errors import OperatorError


class BrokerError(OperatorError):
    """The embedded broker cannot run; the message says why, who acts, and what else would do."""
