"""The folder for what does not fit into memory: of a run alone, and gone when the run is over."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainer.errors import TrainingError

_EXIT_SIGNAL = 128
"""Added to the number of a signal, it is the exit code of who was ended by it."""


@contextmanager
def work_folder(parent: Path | None = None) -> Iterator[Path]:
    """A new folder, which goes at the end of the block, also when SIGTERM ends it.

    Args:
        parent: Where to make it, made if need be; None for the system's place for such folders.

    Raises:
        TrainingError: No folder can be made there.
    """
    try:
        if parent is not None:
            parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix="opportune-", dir=parent)
    except OSError as exc:
        raise TrainingError(
            f"expected a folder for what does not fit into memory, {exc}. Name another one with "
            "--work or TMPDIR"
        ) from exc
    with _sigterm_exits(), folder as path:
        yield Path(path)


@contextmanager
def _sigterm_exits() -> Iterator[None]:
    """SIGTERM, which would end the process on the spot, ends the block through `SystemExit`."""
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one must not interrupt what cleans up
    sys.exit(_EXIT_SIGNAL + number)
