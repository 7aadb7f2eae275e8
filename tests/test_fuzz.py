"""The fuzz lanes for some seconds each, with every index of the kernels checked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.lanes import LANES

ROOT = Path(__file__).resolve().parents[1]
MINUTES = 0.3


@pytest.mark.slow
@pytest.mark.timeout(900)  # compiles every kernel once more, with checks
def test_foreign_bytes_come_to_nothing_worse_than_a_refusal(tmp_path: Path) -> None:
    # A cache of its own: compiled code of another run would not check the bounds.
    checked = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--minutes", str(MINUTES)],
        cwd=ROOT, env=checked, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert [line.split(":")[0] for line in ended.stdout.splitlines()] == list(LANES)
