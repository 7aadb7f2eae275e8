"""A worker ends when it is told to, whatever its broker does and whatever it is doing itself.

Rule of this file: when a process ends is measured in seconds, and held against the promise of
docs/operations.md, `revoke_deadline_s` and 5 s. That leaves a second for a busy machine, and the
deadlines of the tests are five times as long.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from stream.broker import EmbeddedKafka
from tests.conftest import MakeScene
from tests.stream.worker.faults.fault_load import Load
from tests.stream.worker.faults.fault_verifier import Verifier
from tests.stream.worker.faults.fault_worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]

StartWorker = Callable[..., Worker]
REVOKE_DEADLINE_S = 1.0
SOON_S = 30.0

STARTING = """
import os, time
os.environ.setdefault("NO_CYTHON", "1")
from stream.worker.faust_app.opportune_app import OpportuneApp
from stream.log import log_event
prepare = OpportuneApp._prepare
async def _prepare(self):
    log_event("starts")
    START
OpportuneApp._prepare = _prepare
"""


def decides(worker: Worker) -> bool:
    return any(line["decisions_s"] for line in worker.lines("summary"))


@contextmanager
def paused(broker: EmbeddedKafka) -> Iterator[None]:
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(broker.pid, signal.SIGCONT)


def end(worker: Worker, *signals: signal.Signals) -> int:
    for number in signals:
        worker.process.send_signal(number)
        time.sleep(0.5)  # two that are pending at once are one
    try:
        return worker.process.wait(SOON_S)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"still there after {SOON_S} s\n{worker.tail()}") from None


@pytest.mark.parametrize("faust", [False, True])
def test_it_stops_while_the_broker_is_paused_and_loses_nothing(
    make_scene: MakeScene, start_worker: StartWorker, own_kafka: EmbeddedKafka, seed: int, faust: bool
) -> None:  # fmt: skip
    scene = make_scene(broker=own_kafka, revoke_deadline_s=REVOKE_DEADLINE_S)
    with Load(scene.bootstrap, scene.topics, scene.partitions, 1_000, seed) as load:
        worker = start_worker(scene, faust=faust).ready()
        worker.wait_until("decides", lambda: decides(worker))
        with paused(own_kafka):
            time.sleep(1)  # more than a commit interval: something is in work
            assert end(worker, signal.SIGTERM) == 0
        assert [len(worker.lines(evt)) for evt in ("abandoned", "hanging", "stop")] == [1, 1, 1]
        assert worker.lines("stop")[0]["uncommitted_chunks"] > 0
        after = start_worker(scene).ready()
        load.stop()
        after.wait_until("catches up", lambda: scene.lag() == 0)
        assert after.stop() == 0, after.tail()
        verdict = Verifier(scene, [scene.bundle(seed)]).verify()
        assert verdict.events == load.sent == verdict.decisions + verdict.letters


def test_a_second_signal_ends_it_while_the_broker_is_gone(
    make_scene: MakeScene, start_worker: StartWorker, own_kafka: EmbeddedKafka, seed: int
) -> None:
    scene = make_scene(broker=own_kafka, revoke_deadline_s=250.0)
    with Load(scene.bootstrap, scene.topics, scene.partitions, 1_000, seed) as load:
        worker = start_worker(scene).ready()
        worker.wait_until("decides", lambda: decides(worker))
        own_kafka.kill()
        time.sleep(1)
        assert end(worker, signal.SIGTERM, signal.SIGINT) == 130
        assert [len(worker.lines(evt)) for evt in ("killed", "stop")] == [1, 1]
        own_kafka.restart()
        load.stop()


def test_it_ends_while_it_hangs_at_the_start(
    make_scene: MakeScene, start_worker: StartWorker
) -> None:
    worker = start_worker(make_scene(), patch=STARTING.replace("START", "time.sleep(600)"))
    worker.wait_until("starts", lambda: worker.lines("starts"))
    assert end(worker, signal.SIGTERM, signal.SIGTERM) == 143, worker.tail()
    assert [len(worker.lines(evt)) for evt in ("killed", "stop")] == [1, 1]


def test_it_stops_while_it_waits_for_a_model_and_for_its_broker(
    make_scene: MakeScene, start_worker: StartWorker, own_kafka: EmbeddedKafka
) -> None:
    scene = make_scene(broker=own_kafka, revoke_deadline_s=REVOKE_DEADLINE_S)
    (scene.folder / "registry" / "champion").unlink()
    waiting = start_worker(scene)
    waiting.wait_until("waits", lambda: waiting.lines("model_wait"))
    assert end(waiting, signal.SIGTERM) == 0, waiting.tail()
    assert len(waiting.lines("stop")) == 1
    with paused(own_kafka):
        starting = start_worker(scene, patch=STARTING.replace("START", "await prepare(self)"))
        starting.wait_until("starts", lambda: starting.lines("starts"))
        assert end(starting, signal.SIGTERM) == 0, starting.tail()
        assert len(starting.lines("stop")) == 1
