"""What cycles of the trainer print, and whether their processes are gone."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from tests.trainer.commands.model_commands_harness import verdict

VERSION = "20261124T104512Z-0a1b2c3d"


def line(**changes: Any) -> str:
    """What a cycle prints."""
    return json.dumps({"version": VERSION, "promoted": True, "verdict": verdict(None), **changes})


def says(text: str) -> str:
    return f"print({text!r})"


def gone(pid: int) -> bool:
    """Whether a process has ended, given some time to do so."""
    until_s = time.monotonic() + 20
    while time.monotonic() < until_s:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False
