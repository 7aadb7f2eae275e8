"""Kills the broker when the process that started it is gone, even by SIGKILL.

Run as a script, by path: `guard.py PARENT_PID BROKER_PID [TEMPORARY_FOLDER]`. Imports nothing of
this project, to start in milliseconds and to depend on no path.

Rules of this file
1. The death of the parent is seen by this process getting another one: that works on every Unix,
   needs no open pipe that a fork could keep open, and no signal that fires when a thread ends.
2. The broker leads its process group, so its number cannot come to mean a stranger.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time

_POLL_S = 0.25


def watch(parent_pid: int, broker_pid: int, temporary_folder: str | None) -> None:
    """Returns after the parent has gone, the broker was killed and its temporary data removed."""
    while os.getppid() == parent_pid:
        time.sleep(_POLL_S)
    with contextlib.suppress(ProcessLookupError):  # the parent had stopped it
        os.killpg(broker_pid, signal.SIGKILL)
    if temporary_folder is not None:
        shutil.rmtree(temporary_folder, ignore_errors=True)


if __name__ == "__main__":
    watch(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
