"""The health file: written while the worker lives, for probes that look at its age or read it.

Its text is "ok", or what makes the worker useless though it lives, a line each: a restart would not help.
"""

from __future__ import annotations

import logging
from pathlib import Path

from stream.errors import OperatorError
from stream.log import log_event
from stream.visible import visible_lines

HEALTHY = "ok"


def check_health_file(health_file: str, status: str = "") -> None:
    """Writes the health file; without a name there is none.

    Raises:
        OperatorError: It cannot be written.
    """
    if not health_file:
        return
    try:
        Path(health_file).write_text(visible_lines(status or HEALTHY) + "\n", "utf-8")
    except OSError as exc:
        raise OperatorError(
            f"expected a health file that can be written at {health_file}, got {exc.strerror}. "
            "Correct worker.health_file or --health-file"
        ) from exc


def touch(health_file: str, status: str = "") -> None:
    """Writes the health file; that this fails later is not worth a worker."""
    try:
        check_health_file(health_file, status)
    except OperatorError as exc:
        log_event("health_file", level=logging.WARNING, reason=str(exc))
