"""The health file: touched while the worker lives, for probes that look at its age."""

from __future__ import annotations

import logging
from pathlib import Path

from stream.errors import OperatorError
from stream.log import log_event


def check_health_file(health_file: str) -> None:
    """Touches the health file for the first time; without a name there is none.

    Raises:
        OperatorError: It cannot be written.
    """
    if not health_file:
        return
    try:
        Path(health_file).touch()
    except OSError as exc:
        raise OperatorError(
            f"expected a health file that can be written at {health_file}, got {exc.strerror}. "
            "Correct worker.health_file or --health-file"
        ) from exc


def touch(health_file: str) -> None:
    """Touches the health file; that this fails later is not worth a worker."""
    try:
        check_health_file(health_file)
    except OperatorError as exc:
        log_event("health_file", level=logging.WARNING, reason=str(exc))
