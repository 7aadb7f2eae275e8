"""Structured log lines: one event a line, as logfmt text or JSON.

Every line that the worker writes on purpose goes through `log_event`, so that the two formats say the
same. Lines of Faust, aiokafka and others pass through the same formatter as `evt=log`.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from typing import Any, Literal

import msgspec

from stream.errors import OperatorError

LogFormat = Literal["text", "json"]
_logger = logging.getLogger("opportune")
_BARE = re.compile(r"[^\s\"=]+")


def log_event(evt: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Writes one line; fields that are None are left out."""
    present = {name: value for name, value in fields.items() if value is not None}
    # The message says it all, too, for the formatters of others: Faust's own worker has one.
    text = " ".join([evt, *(f"{name}={_text(value)}" for name, value in present.items())])
    _logger.log(level, "%s", text, extra={"evt": evt, "fields": present})


class Formatter(logging.Formatter):
    """Formats records as logfmt (`text`) or one JSON object a line (`json`)."""

    def __init__(self, log_format: LogFormat) -> None:
        super().__init__()
        self._json = log_format == "json"
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """One line, or more when there is a traceback in text."""
        fields: dict[str, Any] = {
            "ts": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "evt": getattr(record, "evt", "log"),
        }
        if hasattr(record, "fields"):
            fields |= record.fields
        else:
            fields |= {"logger": record.name, "message": record.getMessage()}
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        if self._json:
            if trace:
                fields["exception"] = trace
            return msgspec.json.encode(fields, enc_hook=str).decode()
        line = " ".join(f"{name}={_text(value)}" for name, value in fields.items())
        return f"{line}\n{trace}" if trace else line


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        value = ",".join(f"{key}:{count}" for key, count in value.items())
    text = str(value)
    return text if _BARE.fullmatch(text) else msgspec.json.encode(text).decode()


def _not_yet_said(record: logging.LogRecord) -> bool:
    """Leaves out what Faust says of an error that has had its own line, with its traceback."""
    return not (record.exc_info and isinstance(record.exc_info[1], OperatorError))


def configure(log_format: LogFormat, level: str = "info") -> None:
    """Sends all logging of the process to stderr in one format."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter(log_format))
    handler.addFilter(_not_yet_said)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    _logger.setLevel(level.upper())
    logging.getLogger("faust").setLevel(logging.WARNING)
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
