"""Structured log lines: one event a line, as logfmt text or JSON.

Every line that the worker writes on purpose goes through `log_event`, so that the two formats say the
same. Lines of Faust, aiokafka and others pass through the same formatter as `evt=log`.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import Any, Literal

import msgspec

from stream.errors import OperatorError
from stream.log_limit import LimitFilter
from stream.visible import visible_json, visible_lines

LogFormat = Literal["text", "json"]
_logger = logging.getLogger("opportune")
_BARE = re.compile(r"[^\s\"=]+")


def log_event(
    evt: str, *, level: int = logging.INFO, trace: BaseException | None = None, **fields: Any
) -> None:
    """Writes one line; fields that are None are left out. The traceback of `trace` goes with it."""
    present = {name: value for name, value in fields.items() if value is not None}
    # The message says it all, too, for the formatters of others: Faust's own worker has one.
    text = " ".join([evt, *(f"{name}={_text(value)}" for name, value in present.items())])
    _logger.log(level, "%s", text, exc_info=trace, extra={"evt": evt, "fields": present})


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
            return visible_json(_json(fields))
        line = " ".join(f"{name}={_text(value)}" for name, value in fields.items())
        return f"{line}\n{visible_lines(trace)}" if trace else line


def _json(fields: dict[str, Any]) -> str:
    try:
        return msgspec.json.encode(fields, enc_hook=str).decode()
    except UnicodeEncodeError:  # the name of a file that is not UTF-8
        return json.dumps(fields, default=str)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        value = ",".join(f"{key}:{count}" for key, count in value.items())
    text = visible_lines(value)
    return text if _BARE.fullmatch(text) else msgspec.json.encode(text).decode()


class EchoFilter(logging.Filter):
    """Leaves out what mode says of the worker's end, which has its own line: `crash` or `refused`.

    A thread that has crashed has closed its loop, and mode finds an error in that when it stops it.
    """

    _endings = ("crash", "refused")
    _crashed = "Crashed reason="
    _announced = (_crashed, "Drain messages raised: ")
    _echoes = (_crashed, "We experienced a crash!", "RuntimeError('Event loop is closed')")

    def __init__(self) -> None:
        super().__init__()
        self._told = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is new to who reads the log."""
        if hasattr(record, "evt"):
            self._told |= record.evt in self._endings
            return True
        text = record.getMessage()
        if record.exc_info and isinstance(record.exc_info[1], OperatorError):
            # A crash is told by mode first, and by `OpportuneApp` right after.
            return not self._told and not any(echo in text for echo in self._announced)
        return not self._told or not any(echo in text for echo in self._echoes)


def configure(log_format: LogFormat, level: str = "info") -> None:
    """Sends all logging of the process to stderr in one format."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter(log_format))
    handler.addFilter(EchoFilter())
    handler.addFilter(LimitFilter(handler.emit))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    _logger.setLevel(level.upper())
    logging.getLogger("faust").setLevel(logging.WARNING)
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
