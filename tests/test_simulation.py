"""Many histories of faults, each against a recomputation; and faults in the worker, all to be found."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.simulation.mutations import MUTATIONS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_SEEDS = 400
_SEEDS_WITH_A_FAULT = 300

# Which invariant of `tests/simulation/judge/oracle.py` finds a fault first depends on the seed.
_FOUND_BY = {
    "stale_restore": "[12356]|.*crashed",
    "commit_before_marker": ".*4",
    "no_row_guard": "[235]",
    "split_off_by_one": "[1235]|stuck",
    "seek_after_revocation": "[1-5]|.*(crashed|4)",
    "commit_what_was_taken": ".*4",
    "order_ignored": "[235]",
    "caught_up_as_it_comes": "[25]",
    "stretch_unannounced": "[235]",
    "never_read_on": "stuck",
    "marker_before_rows": "4",
    "ring_forgotten": "[235678]",
    "nothing_adopted": "[378]",
    "adopted_once": "[378]",
}


def _simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.simulation", *arguments],
        env=os.environ | {"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def test_nothing_is_violated() -> None:
    played = _simulate("--seeds", str(_SEEDS))
    assert played.returncode == 0, played.stdout + played.stderr


def test_a_seed_is_the_same_history_each_time() -> None:
    one, other = (_simulate("--seed", "7", "--trace") for _ in range(2))
    assert one.stdout.count("\n") > 50
    assert one.stdout == other.stdout


def test_every_fault_in_the_worker_is_found() -> None:
    assert set(_FOUND_BY) == set(MUTATIONS)
    played = _simulate("--break", "each", "--seeds", str(_SEEDS_WITH_A_FAULT))
    assert played.returncode == 1, played.stdout + played.stderr
    for fault, found_by in _FOUND_BY.items():
        told = rf"^{fault}: seed \d+: ({found_by})"
        assert re.search(told, played.stdout, re.MULTILINE), f"{fault}\n{played.stdout}"
