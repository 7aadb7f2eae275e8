"""The watcher that swaps models under a running worker."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle import Bundle
from models.contract import FeatureContract
from models.manifest import NetworkConfig
from models.registry import Registry
from stream.scoring.champion import ModelWatcher
from stream.scoring.scorer import TILE_ROWS
from tests.stream.scoring.scores_harness import (
    CONFIGS,
    STRATEGIES,
    contract_of,
    custom,
    make_bundle,
    rows_of,
)

SMALL = CONFIGS[2]
KNOWN = STRATEGIES[:3]
BUILDER = "tests.models.custom_networks:raises"
RAISES = NetworkConfig(network="custom", head="choice", inputs=5, outputs=3, builder=BUILDER)


@pytest.fixture
def watcher(registry: Registry, caplog: pytest.LogCaptureFixture) -> ModelWatcher:
    caplog.set_level(logging.INFO, "opportune")
    return ModelWatcher(registry, contract_of(5).digest, KNOWN, builder=BUILDER)


def promoted(registry: Registry, bundle: Bundle) -> str:
    version = registry.publish(bundle)
    registry.promote(version)
    return version


def test_without_a_champion_the_watcher_says_so_once(
    registry: Registry, watcher: ModelWatcher, caplog: pytest.LogCaptureFixture
) -> None:
    assert [watcher.check() for _ in range(3)] == [None] * 3
    assert [line.split()[0] for line in caplog.messages] == ["model_missing"]
    version = promoted(registry, make_bundle(SMALL))
    scorer = watcher.check()
    assert scorer is not None
    assert scorer.version == version
    loaded = caplog.records[-1]
    assert loaded.levelno == logging.INFO
    assert loaded.getMessage().startswith(f"model_loaded version={version} contract=")
    assert set(vars(loaded)["fields"]) == {"version", "contract", "load_s"}


def test_models_are_swapped_forward_and_back(registry: Registry, watcher: ModelWatcher) -> None:
    x = rows_of(SMALL, 20)
    first = promoted(registry, make_bundle(SMALL, seed=1))
    old = watcher.check()
    assert old is not None
    assert watcher.check() is None, "nothing new"
    before = old.score(x).tobytes()
    promoted(registry, make_bundle(SMALL, seed=2))
    new = watcher.check()
    assert new is not None
    assert new.score(x).tobytes() != before == old.score(x).tobytes()
    registry.rollback()
    back = watcher.check()
    assert back is not None
    assert (back.version, back.score(x).tobytes()) == (first, before)


SPOILT: dict[str, tuple[Callable[[], Bundle], str]] = {
    "contract": (
        lambda: make_bundle(SMALL, seed=2, contract=FeatureContract(tuple("abcde"), "{}")),
        f"expected a model for feature contract {contract_of(5).digest}",
    ),
    "strategy": (
        lambda: make_bundle(SMALL, seed=2, strategies=("email", "sms", "nothing")),
        "got none of them, ['email', 'sms', 'nothing']",
    ),
    "builder": (
        lambda: custom("normalized", seed=2),
        f"expected builder '{BUILDER}', which model.builder",
    ),
    "raises": (
        lambda: custom("normalized", seed=2, network=RAISES),
        f"model.builder {BUILDER}: RuntimeError: no weights today",
    ),
    "golden": (
        lambda: make_bundle(SMALL, seed=2, shift=0.5),
        "expected the scores of the golden batch",
    ),
    "shape": (
        lambda: make_bundle(SMALL, seed=2, weights={"delta/bias": np.zeros(18, np.float32)}),
        "base/kernel: expected (5, 1), got none",
    ),
    "tampered": (lambda: make_bundle(SMALL, seed=2), "weights.f32: expected sha256"),
}
"""Bundles with one thing wrong, and what the log has to say of it."""


def spoil(registry: Registry, what: str) -> str:
    """Promotes a bundle with one thing wrong, and returns what the log has to say."""
    make, message = SPOILT[what]
    version = promoted(registry, make())
    if what == "tampered":
        path = Path(registry.url) / "versions" / version / "weights.f32"
        path.write_bytes(bytes(path.stat().st_size))
    return message


@pytest.mark.parametrize("what", SPOILT)
def test_a_bad_model_is_refused_once_and_the_next_good_one_taken(
    registry: Registry,
    watcher: ModelWatcher,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    promoted(registry, make_bundle(SMALL, seed=1))
    assert watcher.check() is not None
    caplog.clear()
    message = spoil(registry, what)
    with monkeypatch.context() as patch:
        assert watcher.check() is None
        patch.setattr(Registry, "load", lambda *_: pytest.fail("a refused version was tried again"))
        assert watcher.check() is None
    (refused,) = caplog.records
    assert refused.levelno == logging.ERROR
    assert refused.getMessage().startswith(f"model_refused version={registry.pointer('champion')} ")
    assert message in refused.getMessage()
    good = promoted(registry, make_bundle(SMALL, seed=3))
    scorer = watcher.check()
    assert scorer is not None
    assert scorer.version == good


def test_a_model_that_takes_too_long_is_refused_and_the_old_one_stays(
    registry: Registry, watcher: ModelWatcher, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    took_ms = iter([2.0, 2.04, 1.0])
    monkeypatch.setattr("stream.scoring.champion.score_ms", lambda scorer: next(took_ms))
    watcher = ModelWatcher(registry, contract_of(5).digest, KNOWN, score_ms_max=2.0)
    promoted(registry, make_bundle(SMALL, seed=1))
    assert watcher.check() is not None, "the budget itself is allowed"
    slow = promoted(registry, make_bundle(SMALL, seed=2))
    assert watcher.check() is None
    assert watcher.check() is None
    refused = caplog.messages[-1]
    assert refused.startswith(f"model_refused version={slow} ")
    assert f"expected {TILE_ROWS} customers scored in 2 ms at most" in refused
    assert "got 2.04 ms" in refused
    quick = promoted(registry, make_bundle(SMALL, seed=3))
    scorer = watcher.check()
    assert scorer is not None
    assert scorer.version == quick


def test_the_time_is_measured_on_the_model_itself(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "opportune")
    promoted(registry, make_bundle(SMALL))
    assert ModelWatcher(registry, contract_of(5).digest, KNOWN, score_ms_max=1e-6).check() is None
    assert "scored in 1e-06 ms at most" in caplog.messages[-1]
    assert ModelWatcher(registry, contract_of(5).digest, KNOWN, score_ms_max=500.0).check()


def test_a_registry_out_of_reach_is_tried_again(
    registry: Registry,
    watcher: ModelWatcher,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    promoted(registry, make_bundle(SMALL))

    def unreachable(*_: object) -> Any:
        raise TimeoutError("no route to host")

    for broken in ("pointer", "load"):
        with monkeypatch.context() as patch:
            patch.setattr(Registry, broken, unreachable)
            assert watcher.check() is None
            assert watcher.check() is None
    assert watcher.check() is not None
    events = [line.split()[0] for line in caplog.messages]
    assert events == ["registry_unreadable", "model_loaded"]
    assert "no route to host" in caplog.messages[0]


def test_a_pointer_that_is_rubbish_keeps_the_old_model(
    registry: Registry, watcher: ModelWatcher, caplog: pytest.LogCaptureFixture
) -> None:
    promoted(registry, make_bundle(SMALL))
    assert watcher.check() is not None
    (Path(registry.url) / "champion").write_text("../../../etc")
    assert watcher.check() is None
    assert caplog.messages[-1].startswith("registry_unreadable ")
    assert "expected a version name, got '../../../etc'" in caplog.messages[-1]


def test_trouble_that_comes_back_is_told_again(
    registry: Registry, watcher: ModelWatcher, caplog: pytest.LogCaptureFixture
) -> None:
    version = promoted(registry, make_bundle(SMALL))
    pointer = Path(registry.url) / "champion"
    for _ in range(2):
        pointer.write_text("rubbish")
        assert [watcher.check() for _ in range(2)] == [None] * 2
        pointer.write_text(version)
        watcher.check()
    events = [line.split()[0] for line in caplog.messages]
    assert events == ["registry_unreadable", "model_loaded", "registry_unreadable"]


def test_other_strategies_than_the_campaign_s_are_told_once_and_served(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "opportune")
    watcher = ModelWatcher(registry, contract_of(5).digest, ["strategy-0", "new", "strategy-1"])
    bundle = make_bundle(
        SMALL, strategies=("old", "strategy-0", "strategy-1"), untrained=("strategy-1",)
    )
    version = promoted(registry, bundle)
    scorer = watcher.check()
    assert scorer is not None
    assert (scorer.strategies[0], scorer.untrained) == ("old", ("strategy-1",))
    assert watcher.check() is None
    loaded, told = caplog.messages
    assert loaded.startswith("model_loaded ")
    assert told == (
        f'model_strategies version={version} reason="'
        "new: never chosen by the model, since it does not know them (NOT_IN_MODEL): train a new one; "
        "strategy-1: never chosen by the model, since it has seen too few examples of them (UNTRAINED); "
        'old: known to the model and not in the campaign file: ignored"'
    )
