"""Logins and tombstones on a running worker that is killed again and again, and what is left of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

from stream.features.plan import compile_features
from stream.state.marker import MARKER_KEY
from tests.conftest import MakeScene
from tests.stream.worker.faults.fault_harness import Scene
from tests.stream.worker.faults.fault_load import producer
from tests.stream.worker.faults.fault_verifier import Verifier, newest_rows, read
from tests.stream.worker.faults.fault_worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(400)]

StartWorker = Callable[..., Worker]
Sent = tuple[bytes, bytes | None]
EMPTYING = '[events]\nlogin = "merge"\ntombstones = "forget"\n'
NOW_MS = 1_760_000_000_000


def event(number: int, customer: str, name: str = "Order Completed", **more: Any) -> bytes:
    said = {
        "type": "track", "event": name, "userId": customer, "messageId": f"m-{number}",
        "timestamp": NOW_MS + number * 1000, "properties": {"value": number % 7}, **more,
    }  # fmt: skip
    return json.dumps(said).encode()


def history(n: int, seed: int) -> list[Sent]:
    """Devices that log in, users, and some who are to be forgotten, all in one partition."""
    rng = np.random.default_rng(seed)
    out: list[Sent] = []
    for i in range(n):
        user, device = f"u-{rng.integers(30)}", f"a-{rng.integers(60)}"
        what = rng.choice(4, p=[0.5, 0.3, 0.17, 0.03])
        if what == 3:
            out.append((user.encode(), None))
        elif what == 2:
            out.append((user.encode(), event(i, user, "identify", anonymousId=device)))
        else:
            customer = (device, user)[what]
            name = ("Product Viewed", "Order Completed")[what]
            out.append((customer.encode(), event(i, customer, name)))
    return [*out, (b"u-0", None)]


def send(scene: Scene, records: Sequence[Sent]) -> None:
    sender = producer(scene.bootstrap)
    for key, value in records:
        sender.produce(scene.topics[0], value, key, 0)
    assert sender.flush(30) == 0


def caught_up(scene: Scene, worker: Worker) -> None:
    worker.wait_until("catches up", lambda: scene.lag() == 0)


def has_come_to(scene: Scene, offset: int) -> bool:
    return sum(scene.committed().values()) >= offset or scene.lag() == 0


class Recomputed(Verifier):
    """The state that is right, with a tombstone for each customer of whom nothing is left."""

    def _recompute(self, *arguments: Any) -> Any:
        right = super()._recompute(*arguments)
        for key, row in right.rows.items():
            words = np.frombuffer(row[1:], np.int64)
            if not np.delete(words, np.r_[self._plan.offset_words]).any():
                right.rows[key] = b""
        return right


def test_logins_and_tombstones_count_once_however_often_the_worker_is_killed(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    scene = make_scene(partitions=1, more=EMPTYING, commit_interval_ms=23, chunk_events_max=90)
    records = history(6_000, seed)
    rng = np.random.default_rng(seed)
    worker = start_worker(scene, "member").ready()
    for at in range(0, len(records), 500):
        send(scene, records[at : at + 500])
        floor = worker.lines("begin")[-1]["offset"] + int(rng.integers(1, 400))
        worker.wait_until("goes on", partial(has_come_to, scene, floor))
        worker.kill()
        worker = start_worker(scene, "member").ready()
    caught_up(scene, worker)
    assert worker.stop() == 0, worker.tail()
    verdict = Recomputed(scene, [scene.bundle(seed)]).verify()
    assert verdict.decisions > 1_000
    assert verdict.letters == 0
    assert newest_rows(scene, 0)[b"u-0"] == b"", "the last to be forgotten is gone"


def test_a_cart_of_a_device_is_the_users_after_the_login(
    make_scene: MakeScene, start_worker: StartWorker
) -> None:
    scene = make_scene(partitions=1, more=EMPTYING)
    worker = start_worker(scene, "member").ready()
    carts = [(b"u-1", event(k, "", "Product Viewed", anonymousId="a-1")) for k in range(3)]
    login = (b"u-1", event(3, "u-1", "identify", anonymousId="a-1"))
    send(scene, [*carts, login, (b"u-1", event(4, "u-1"))])
    caught_up(scene, worker)
    worker.wait_until("tells of it", lambda: any(
        line.get("carried_over") == 1 for line in worker.lines("summary")))  # fmt: skip
    assert worker.stop() == 0, worker.tail()
    rows = newest_rows(scene, 0)
    words = np.frombuffer(rows[b"u-1"][1:])

    state = compile_features(scene.campaign).describe(words)["state"]
    assert sum(state["events_3d"]) == 5
    last = json.loads(read(scene.bootstrap, scene.campaign.topics.decisions, 0)[-1].value() or b"")
    assert last["customer_id"] == "u-1"


def test_who_is_forgotten_is_gone_and_an_objection_stays(
    make_scene: MakeScene, start_worker: StartWorker
) -> None:
    scene = make_scene(partitions=1, more=EMPTYING)
    worker = start_worker(scene, "member").ready()
    denied = event(1, "u-2", traits={"marketing_consent": False})
    send(scene, [(b"u-1", event(0, "u-1")), (b"u-2", denied), (b'"u-1"', None), (b"u-2", None)])
    caught_up(scene, worker)
    worker.wait_until("forgets", lambda: newest_rows(scene, 0).get(b"u-1") == b"")
    assert worker.stop() == 0, worker.tail()
    left = {key for key, row in newest_rows(scene, 0).items() if row} - {MARKER_KEY}
    assert left == {b"u-2"}
    again = start_worker(scene, "member").ready()
    send(scene, [(b"u-1", event(2, "u-1")), (b"u-2", event(3, "u-2"))])
    caught_up(scene, again)
    assert again.stop() == 0, again.tail()
    rows = newest_rows(scene, 0)
    describe = compile_features(scene.campaign).describe
    one, other = (describe(np.frombuffer(rows[who][1:])) for who in (b"u-1", b"u-2"))
    assert one["clock_ms"] == one["first_ms"] == NOW_MS + 2000, "it begins anew"
    assert other["first_ms"] == NOW_MS + 3000
    said = [row["consent"]["marketing"]["said"] for row in (one, other)]
    assert said == ["not said", "withdrawn"]


def test_tombstones_are_ignored_unless_told_otherwise(
    make_scene: MakeScene, start_worker: StartWorker
) -> None:
    scene = make_scene(partitions=1)
    worker = start_worker(scene, "member").ready()
    send(
        scene, [(b"u-1", event(0, "u-1")), *[(b"u-%d" % k, None) for k in range(150)], (b"", None)]
    )
    caught_up(scene, worker)
    (line,) = worker.wait_until("tells of them", lambda: worker.lines("tombstones"))
    assert 'events.tombstones to "forget"' in line["reason"]
    assert worker.stop() == 0, worker.tail()
    assert sum(line.get("tombstones") or 0 for line in worker.lines("summary")) == 150
    assert newest_rows(scene, 0)[b"u-1"]
    (letter,) = read(scene.bootstrap, scene.campaign.topics.dead_letter, 0)
    assert dict(letter.headers() or [])["code"] == b"null_value"
