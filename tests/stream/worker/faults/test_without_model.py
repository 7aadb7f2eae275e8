"""A worker without a model explores, goes on after a kill, and goes on with the first model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import msgspec
import pytest

from stream.features.plan import compile_features
from stream.pipeline import Deployment
from stream.policy.choice import Policy
from stream.policy.decision import CERTAIN
from stream.scoring.no_model import NoModel
from tests.conftest import MakeScene
from tests.stream.worker.faults.fault_harness import Scene
from tests.stream.worker.faults.fault_load import Load
from tests.stream.worker.faults.fault_verifier import Verifier, read
from tests.stream.worker.faults.fault_worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]

StartWorker = Callable[..., Worker]
CHANCE = """
[exploration]
method = "inverse_gap"
without_model = 0.5
[[holdouts]]
id = "universal"
share = 0.2
"""
RATE = 1_000


def decided_by(worker: Worker, model: str) -> bool:
    return any(line["decisions_s"] and line["model"] == model for line in worker.lines("summary"))


def decisions_of(scene: Scene) -> list[dict[str, object]]:
    topic = scene.campaign.topics.decisions
    records = [r for p in range(scene.partitions) for r in read(scene.bootstrap, topic, p)]
    return [msgspec.json.decode(record.value() or b"")["data"] for record in records]


def test_it_explores_until_there_is_a_model_and_goes_on_with_it(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    policy = ', without_model = "explore"'
    scene = make_scene(form="cloudevents", policy=policy, more=CHANCE)
    (scene.folder / "registry" / "champion").unlink()
    with Load(scene.bootstrap, scene.topics, scene.partitions, RATE, seed) as load:
        worker = start_worker(scene).ready()
        worker.wait_until("explores", lambda: decided_by(worker, "none"))
        worker.kill()
        worker = start_worker(scene).ready()
        assert worker.lines("without_model")[-1]["explores"] == 0.5
        worker.wait_until("explores again", lambda: decided_by(worker, "none"))
        version = scene.promote(seed)
        worker.wait_until("decides with it", lambda: decided_by(worker, version))
        load.stop()
        worker.wait_until("catches up", lambda: scene.lag() == 0)
        assert worker.stop() == 0, worker.tail()
    verifier = Verifier(scene, [scene.bundle(seed)])
    nobody = NoModel(compile_features(scene.campaign).contract)
    explores = Deployment(nobody, Policy.without_model(scene.campaign))
    verifier._deployments.append(explores)
    verdict = verifier.verify()
    assert verdict.events == load.sent == verdict.decisions + verdict.letters
    assert verdict.models["none"] > 0 < verdict.models[version]
    explored = Counter[object]()
    for data in decisions_of(scene):
        assert sum(data["probabilities"].values()) == CERTAIN  # type: ignore[attr-defined]
        assert data["group"] == "treatment" or data["decision"] == "nothing"
        explored[data["model"], data["explored"]] += 1
    assert all(explored[model, chance] for model in ("none", version) for chance in (True, False))


def test_a_champion_that_cannot_be_read_is_waited_for(
    make_scene: MakeScene, start_worker: StartWorker
) -> None:
    scene = make_scene(policy=', without_model = "explore"')
    (scene.folder / "registry" / "champion").write_text("../../elsewhere")
    worker = start_worker(scene)
    worker.wait_until("waits", lambda: worker.lines("model_wait"))
    assert worker.lines("registry_unreadable")
    assert not worker.lines("without_model")
    assert worker.stop() == 0, worker.tail()
