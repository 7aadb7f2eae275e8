"""Whatever is killed whenever: nothing is lost, nothing counts twice, what comes twice is the same.

The faults are real: processes and brokers die by SIGKILL while a producer goes on. What must hold is
written down in one place, `tests.stream.worker.faults.fault_verifier`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial

import pytest

from stream.broker import EmbeddedKafka
from tests.conftest import MakeScene
from tests.stream.worker.faults.fault_harness import Scene
from tests.stream.worker.faults.fault_load import Load
from tests.stream.worker.faults.fault_verifier import Verdict, Verifier
from tests.stream.worker.faults.fault_worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(900)]

StartWorker = Callable[..., Worker]

SESSION_S = 6.0  # of the scene's campaign
# Imports take most of a start: the next worker has done them before its turn comes, even a fresh one.
IMPORTED = """
import os, sys
os.environ.setdefault("NO_CYTHON", "1")
import stream.worker.warmup, stream.worker.commands.run
sys.stdin.readline()
"""


def finish(scene: Scene, worker: Worker, load: Load, seed: int) -> Verdict:
    """Ends the load, lets the worker catch up, stops it and verifies."""
    load.stop()
    worker.wait_until("catches up", lambda: scene.lag() == 0)
    assert worker.stop() == 0, worker.tail()
    verdict = Verifier(scene, [scene.bundle(seed)]).verify()
    print(verdict)
    assert verdict.events == load.sent == verdict.decisions + verdict.letters + load.repeated
    assert verdict.letters == load.invalid
    return verdict


@pytest.mark.parametrize(("form", "kills"), [("flat", 20), ("cloudevents", 3)])
def test_a_worker_is_killed_again_and_again(
    make_scene: MakeScene, start_worker: StartWorker, seed: int, form: str, kills: int
) -> None:
    scene, rng = make_scene(form=form), random.Random(seed)
    load_of = partial(Load, scene.bootstrap, scene.topics, scene.partitions, 3_000, seed)
    following = start_worker(scene, "member", IMPORTED)  # what forks it is ready now
    with load_of(repeated_share=0.05) as load:
        for life in range(kills):
            fresh = life % 10 == 3
            worker, following = following.go(), start_worker(scene, "member", IMPORTED, fresh=fresh)
            if life % 5 == 4:  # during its start or its restore, most likely
                time.sleep(rng.uniform(0, 4))
            else:
                worker.ready()
                time.sleep(rng.uniform(0, 1.5))
            worker.kill()
        verdict = finish(scene, following.go(), load, seed)
    assert load.repeated > 0
    assert verdict.repeated == 0  # what is there is taken over


def test_the_broker_is_killed(
    make_scene: MakeScene, start_worker: StartWorker, own_kafka: EmbeddedKafka, seed: int
) -> None:
    scene, rng = make_scene(broker=own_kafka), random.Random(seed)
    worker = start_worker(scene, "member").ready()
    with Load(scene.bootstrap, scene.topics, scene.partitions, 3_000, seed) as load:
        for _ in range(2):
            time.sleep(rng.uniform(1, 3))
            own_kafka.kill()
            time.sleep(rng.uniform(0, 4))
            own_kafka.restart()
        time.sleep(rng.uniform(2, 4))
        if worker.process.poll() is not None:  # it may give up: then it is started again
            assert worker.process.returncode not in (0, 2), worker.tail()
            worker = start_worker(scene, "member").ready()
        finish(scene, worker, load, seed)


def test_workers_join_leave_and_die(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    scene, rng = make_scene(partitions=6), random.Random(seed)
    first = start_worker(scene).ready()
    with Load(scene.bootstrap, scene.topics, scene.partitions, 2_000, seed) as load:
        second = start_worker(scene).ready()
        third = start_worker(scene).ready()
        time.sleep(rng.uniform(0, 2))
        assert second.stop() == 0, second.tail()
        time.sleep(rng.uniform(0, 2))
        third.kill()
        fourth = start_worker(scene).ready()
        time.sleep(rng.uniform(0, 2))
        first.kill()
        fourth.wait_until("has all", lambda: fourth.partitions() == scene.partitions)
        finish(scene, fourth, load, seed)
        assert len({line["generation"] for line in fourth.lines("summary")}) > 1


def test_partitions_are_handed_over_without_a_duplicate(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    scene, rng = make_scene(), random.Random(seed)
    first = start_worker(scene).ready()
    with Load(scene.bootstrap, scene.topics, scene.partitions, 3_000, seed) as load:
        second = start_worker(scene).ready()
        time.sleep(rng.uniform(0, 2))
        assert first.stop() == 0, first.tail()
        second.wait_until("has all", lambda: second.partitions() == scene.partitions)
        time.sleep(rng.uniform(0, 2))
        assert second.stop() == 0, second.tail()
        assert scene.lag() > 0
        verdict = finish(scene, start_worker(scene).ready(), load, seed)
    assert (verdict.repeated, verdict.repeated_letters) == (0, 0)


def test_several_topics_are_taken_in_the_same_order_again(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    scene, rng = make_scene(topics=2, partitions=2, form="cloudevents"), random.Random(seed)
    following = start_worker(scene, "member", IMPORTED)
    # What was caught up with is merged by event times, so the referee computes nearly every record on
    # its own: let them be some thousand.
    with Load(scene.bootstrap, scene.topics, scene.partitions, 250, seed, tick_s=0.2) as load:
        for life in range(6):
            # Each fresh one hashes in its own way: an order that came of a set would be another one.
            fresh = life % 2 == 0
            worker, following = following.go(), start_worker(scene, "member", IMPORTED, fresh=fresh)
            worker.ready()
            time.sleep(rng.uniform(0, 2))
            worker.kill()
        verdict = finish(scene, following.go().ready(), load, seed)
    assert verdict.repeated == 0  # what is there is taken over


# Of the decisions one batch never reaches the broker: it fails, or its acknowledgement never comes.
SPOILED = """
import asyncio, os
os.environ.setdefault("NO_CYTHON", "1")
from stream.worker.faust_app.transport import Producer
send, sent = Producer.send_encoded, 0
async def send_encoded(self, topic, partition, batch):
    global sent
    sent += topic.endswith("-decisions")
    if sent != 25 or not topic.endswith("-decisions"):
        return await send(self, topic, partition, batch)
    future = asyncio.get_running_loop().create_future()
    SPOIL
    return future
Producer.send_encoded = send_encoded
"""


def test_what_failed_to_be_sent_is_not_committed(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    scene = make_scene()
    with Load(scene.bootstrap, scene.topics, scene.partitions, 2_000, seed) as load:
        patch = SPOILED.replace("SPOIL", 'future.set_exception(OSError("no way"))')
        failing = start_worker(scene, "member", patch)
        assert failing.ended() == 1, failing.tail()
        (crash,) = failing.lines("crash")
        assert (crash["error"], crash["reason"]) == ("OSError", "no way")
        finish(scene, start_worker(scene, "member"), load, seed)


def test_a_crashed_worker_ends_though_its_shutdown_hangs(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    scene = make_scene(revoke_deadline_s=1.5)
    with Load(scene.bootstrap, scene.topics, scene.partitions, 500, seed) as load:
        patch = SPOILED.replace("SPOIL", 'future.set_exception(OSError("no way"))')
        patch += "from stream.worker.faust_app.opportune_app import OpportuneApp\n"
        patch += "async def hang(self):\n    await asyncio.Event().wait()\n"
        patch += "OpportuneApp.on_stop = hang\n"
        hanging = start_worker(scene, "member", patch)
        assert hanging.ended() == 1, hanging.tail()
        assert len(hanging.lines("hanging")) == 1
        finish(scene, start_worker(scene, "member"), load, seed)


def test_what_is_never_acknowledged_is_abandoned_at_the_deadline(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    scene = make_scene(revoke_deadline_s=1.5)
    with Load(scene.bootstrap, scene.topics, scene.partitions, 2_000, seed) as load:
        hanging = start_worker(scene, "member", SPOILED.replace("SPOIL", "pass")).ready()
        time.sleep(2)
        assert hanging.stop() == 0, hanging.tail()
        assert [line["evt"] for line in hanging.lines("abandoned")] == ["abandoned"]
        finish(scene, start_worker(scene, "member"), load, seed)


def test_a_worker_that_was_thought_dead_comes_back(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    scene, rng = make_scene(), random.Random(seed)
    first = start_worker(scene).ready()
    with Load(scene.bootstrap, scene.topics, scene.partitions, 2_000, seed) as load:
        second = start_worker(scene).ready()
        for _ in range(2):
            time.sleep(rng.uniform(1, 3))
            first.pause()
            second.wait_until("has all", lambda: second.partitions() == scene.partitions)
            time.sleep(rng.uniform(1, 3))
            first.resume()
            first.wait_until("has some", lambda: first.partitions() == scene.partitions // 2)
        assert second.stop() == 0, second.tail()
        finish(scene, first, load, seed)


def test_a_worker_that_restored_is_paused_for_longer_than_its_session(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    """Its partitions come straight back, and Faust takes them for ones that never went."""
    scene, rng = make_scene(), random.Random(seed)
    worker = start_worker(scene, "member").ready()
    many = 20_000  # more than come again within a pause: a part of the table would lack some
    with Load(scene.bootstrap, scene.topics, scene.partitions, 1_000, seed, customers=many) as load:
        time.sleep(rng.uniform(1, 3))
        assert worker.stop() == 0, worker.tail()
        worker = start_worker(scene, "member").ready()
        for _ in range(2):
            time.sleep(rng.uniform(1, 3))
            worker.pause()
            time.sleep(SESSION_S + rng.uniform(1, 3))
            worker.resume()
            worker.wait_until("begins again", partial(worker.lines, "begin"))
        time.sleep(rng.uniform(1, 3))
        finish(scene, worker, load, seed)


def test_a_worker_that_makes_nothing_durable_ends_itself(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    scene = make_scene(stuck_after_s=5.0)
    with Load(scene.bootstrap, scene.topics, scene.partitions, 500, seed) as load:
        hanging = start_worker(scene, "member", SPOILED.replace("SPOIL", "pass"))
        assert hanging.ended() == 70, hanging.tail()
        assert [line["last"] for line in hanging.lines("stuck")] == [False, True]
        finish(scene, start_worker(scene, "member"), load, seed)
