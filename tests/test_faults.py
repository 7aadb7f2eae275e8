"""Whatever is killed whenever: nothing is lost, nothing counts twice, what comes twice is the same.

The faults are real: processes and brokers die by SIGKILL while a producer goes on. What must hold is
written down in one place, `tests.fault_verifier`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from stream.broker import EmbeddedKafka
from tests.conftest import MakeScene
from tests.fault_harness import Scene, Worker
from tests.fault_load import Load
from tests.fault_verifier import Verdict, Verifier

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(900)]

StartWorker = Callable[..., Worker]

# Imports take most of a start: the next worker has done them before its turn comes.
IMPORTED = """
import os, sys
os.environ.setdefault("NO_CYTHON", "1")
import stream.warmup, stream.worker.run
sys.stdin.readline()
"""


def finish(scene: Scene, worker: Worker, load: Load, seed: int) -> Verdict:
    """Ends the load, lets the worker catch up, stops it and verifies."""
    load.stop()
    worker.wait_until("catches up", lambda: scene.lag() == 0)
    assert worker.stop() == 0, worker.tail()
    verdict = Verifier(scene, [scene.bundle(seed)]).verify()
    print(verdict)
    assert verdict.events == load.sent == verdict.decisions + verdict.letters
    assert verdict.letters == load.invalid
    return verdict


@pytest.mark.parametrize(("form", "kills"), [("flat", 20), ("cloudevents", 3)])
def test_a_worker_is_killed_again_and_again(
    make_scene: MakeScene, start_worker: StartWorker, seed: int, form: str, kills: int
) -> None:
    scene, rng = make_scene(form=form), random.Random(seed)
    with Load(scene.bootstrap, scene.topics, scene.partitions, 3_000, seed) as load:
        following = start_worker(scene, "member", IMPORTED)
        for life in range(kills):
            worker, following = following.go(), start_worker(scene, "member", IMPORTED)
            if life % 5 == 4:  # during its start or its restore, most likely
                time.sleep(rng.uniform(0, 4))
            else:
                worker.ready()
                time.sleep(rng.uniform(0, 1.5))
            worker.kill()
        verdict = finish(scene, following.go(), load, seed)
    assert verdict.repeated > 0  # or no kill came between a decision and its checkpoint
