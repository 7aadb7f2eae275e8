"""New champions under load: every event is decided once, by the champions in their order."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest

from models.bundle import Bundle
from models.contract import FeatureContract
from models.manifest import MANIFEST, WEIGHTS
from tests.bundles import remade
from tests.conftest import MakeScene
from tests.stream.worker.faults.fault_harness import Scene
from tests.stream.worker.faults.fault_load import Load
from tests.stream.worker.faults.fault_records import identity_of
from tests.stream.worker.faults.fault_verifier import Verifier, read
from tests.stream.worker.faults.fault_worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]

StartWorker = Callable[..., Worker]
RATE = 1_000
SWAP_MAX_S = 5.0
"""From the promotion to the worker's line, with a poll interval of 0.2 s on a busy machine."""


def wider(bundle: Bundle, units: int) -> Bundle:
    """A shape of network that the worker has not seen: with hidden units that do nothing."""
    weights = {
        name: np.pad(array, [(0, units if size == 8 else 0) for size in array.shape])
        for name, array in bundle.weights.items()
    }
    network = msgspec.structs.replace(bundle.manifest.network, hidden=(8 + units,))
    return remade(bundle, network=network, weights=weights)


def seconds_to_swap(worker: Worker, promoted: datetime, version: str, count: int) -> float:
    """Time from a promotion until the worker says that it has loaded this version."""
    worker.wait_until("loads", lambda: len(worker.lines("model_loaded")) >= count, 60)
    line = worker.lines("model_loaded")[count - 1]
    assert line["version"] == version
    return (datetime.fromisoformat(line["ts"]) - promoted).total_seconds()


def assert_decided_by(scene: Scene, versions: Sequence[str]) -> None:
    """In every partition the decisions are those of these models, one after the other."""
    for partition in range(scene.partitions):
        decisions = read(scene.bootstrap, scene.campaign.topics.decisions, partition)
        models = [identity_of(decision.value())[1] for decision in decisions]
        runs = [model for i, model in enumerate(models) if i == 0 or model != models[i - 1]]
        assert runs == list(versions), f"partition {partition}"


def damage_weights(folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(bytes([data[0] ^ 1]) + data[1:])


def change_manifest(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    manifest["normalization"]["mean"][0] += 1
    (folder / MANIFEST).write_text(json.dumps(manifest))


def lose_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()


BAD: list[tuple[Callable[[Bundle], Bundle], Callable[[Path], None] | None, str]] = [
    (remade, damage_weights, "sha256"),
    (
        lambda good: remade(good, strategies=tuple(f"fax-{s}" for s in good.manifest.strategies)),
        None,
        "fax",
    ),
    (
        lambda good: remade(
            good, contract=FeatureContract(good.manifest.contract.names, '["others"]')
        ),
        None,
        "feature contract",
    ),
    (lambda good: wider(good, 1), change_manifest, "the manifest was changed"),
    (lambda good: wider(good, 2), lose_weights, "expected a file weights.f32"),
    (lambda good: remade(good, weights={k: v + 1 for k, v in good.weights.items()}), None, "golden"),
]  # fmt: skip
"""How to make a bad bundle of a good one, what to do to its folder, and what the worker says."""


def promote_and_roll_back(scene: Scene, worker: Worker, bundles: Sequence[Bundle]) -> None:
    """Every promotion, and the way back, reaches the worker soon."""
    registry = scene.registry
    for i, bundle in enumerate(bundles, start=2):
        version, now = registry.publish(bundle), datetime.now(UTC)
        registry.promote(version, over=registry.pointer("champion"))
        assert seconds_to_swap(worker, now, version, i) < SWAP_MAX_S
        time.sleep(1)
    now, version = datetime.now(UTC), registry.rollback()
    assert seconds_to_swap(worker, now, version, len(bundles) + 2) < SWAP_MAX_S
    time.sleep(1)
    assert worker.lines("model_refused") == []


def point_at_bad_ones(scene: Scene, worker: Worker, good: Bundle) -> None:
    """What the registry itself would refuse comes in by hand; the worker says what is wrong."""
    for count, (make, damage, reason) in enumerate(BAD, start=1):
        bad = make(good)
        scene.registry.publish(bad)
        if damage is not None:
            damage(scene.folder / "registry" / "versions" / bad.manifest.version)
        scene.point(bad)

        def refused(n: int = count) -> bool:
            return len(worker.lines("model_refused")) == n

        worker.wait_until(f"refuses {reason}", refused, 30)
        line = worker.lines("model_refused")[-1]
        assert line["version"] == bad.manifest.version
        assert reason in line["reason"]
    (scene.folder / "registry" / "champion").write_text("../../elsewhere")
    worker.wait_until("says so", lambda: worker.lines("registry_unreadable"), 30)


def test_champions_change_under_load_and_no_event_is_lost(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    scene = make_scene()
    first, second, last = (scene.bundle(seed + i) for i in range(3))
    third = wider(scene.bundle(seed + 3), 3)
    worker = start_worker(scene).ready()
    with Load(scene.bootstrap, scene.topics, scene.partitions, RATE, seed) as load:
        time.sleep(1)
        promote_and_roll_back(scene, worker, [second, third])
        point_at_bad_ones(scene, worker, first)
        time.sleep(1)
        scene.registry.publish(last)
        scene.point(last)
        worker.wait_until("loads", lambda: len(worker.lines("model_loaded")) == 5, 30)
        time.sleep(1)
    worker.wait_until("catches up", lambda: scene.lag() == 0)
    assert worker.stop() == 0, worker.tail()
    verdict = Verifier(scene, [first, second, third, last]).verify()
    assert verdict.decisions + verdict.letters == verdict.events == load.sent
    assert (verdict.repeated, verdict.repeated_letters) == (0, 0)
    assert_decided_by(scene, [b.manifest.version for b in (first, second, third, second, last)])
