"""Scores that depend on the row alone, and the watcher that swaps models under a running worker."""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import network
from models.bundle import Bundle, Fit, Golden
from models.contract import FeatureContract, Normalization
from models.errors import BundleError
from models.manifest import DataWindow, NetworkConfig
from models.registry import Registry
from stream import scores
from stream.reload import ModelWatcher
from stream.scores import TILE_ROWS, Scorer

CONFIGS = [
    NetworkConfig(network="mlp", head="response", inputs=36, outputs=10, hidden=(32,)),
    NetworkConfig(network="mlp", head="choice", inputs=37, outputs=11, hidden=(33, 17)),
    NetworkConfig(network="linear", head="response", inputs=5, outputs=3),
    NetworkConfig(
        network="mlp", head="response", inputs=9, outputs=1, hidden=(8,), activation="gelu"
    ),
    NetworkConfig(network="mlp", head="choice", inputs=784, outputs=10, hidden=(32,)),
    NetworkConfig(
        network="dcn", head="response", inputs=36, outputs=10, hidden=(32, 16), dropout=0.4,
        cross_layers=2, cross_rank=6,
    ),
    NetworkConfig(
        network="custom", head="choice", inputs=12, outputs=4,
        builder="tests.custom_networks:normalized",
    ),
]  # fmt: skip
STRATEGIES = tuple(f"strategy-{i}" for i in range(11))


def contract_of(inputs: int) -> FeatureContract:
    return FeatureContract(tuple(f"feature_{i}" for i in range(inputs)), "{}")


def make_bundle(config: NetworkConfig, seed: int = 0, shift: float = 0.0, **parts: Any) -> Bundle:
    """A network with all its weights drawn, so that no two rows or strategies agree by chance."""
    rng = np.random.default_rng(seed)
    model = network.build(config, builder=config.builder)
    weights = {
        name: (rng.normal(size=array.shape) / np.sqrt(len(array))).astype(np.float32)
        for name, array in network.weights(model).items()
    }
    weights |= {name: abs(array) for name, array in weights.items() if "variance" in name}
    model.set_weights(network.arrange(model, weights))
    x = rng.normal(size=(40, config.inputs)).astype(np.float32)
    created = datetime(2026, 11, 24, tzinfo=UTC) + timedelta(minutes=seed)
    plain: dict[str, Any] = {
        "contract": contract_of(config.inputs),
        "normalization": Normalization.identity(config.inputs),
        "strategies": STRATEGIES[: config.outputs],
        "network": config,
        "weights": weights,
        "golden": Golden(x, np.asarray(model(x, training=False)) + np.float32(shift)),
        "fit": Fit(created, DataWindow(0, 1), seed),
    }
    return Bundle.create(**plain | parts)


def rows_of(config: NetworkConfig, n: int, seed: int = 7) -> Any:
    """Feature vectors as they come: some clipped, some all zero, most in between."""
    x = np.random.default_rng(seed).normal(size=(n, config.inputs)).astype(np.float32)
    x[::17] = 0
    x[5::29] = np.clip(x[5::29] * 100, -8, 8)
    return x


@pytest.fixture(scope="module")
def scorers() -> list[Scorer]:
    return [Scorer(make_bundle(config, seed=i), config.builder) for i, config in enumerate(CONFIGS)]


# ---- scorer --------------------------------------------------------------------------------------


def test_a_scorer_says_what_it_is(scorers: list[Scorer]) -> None:
    bundle = make_bundle(CONFIGS[1], seed=1)
    scorer = scorers[1]
    assert scorer.version == bundle.manifest.version
    assert scorer.strategies == STRATEGIES
    assert scorer.head == "choice"
    assert scorer.contract_digest == contract_of(37).digest
    assert scorer.normalization.std.tolist() == [1.0] * 37


def test_scores_are_those_of_the_keras_model(scorers: list[Scorer]) -> None:
    for scorer, config in zip(scorers, CONFIGS, strict=True):
        bundle = make_bundle(config, seed=CONFIGS.index(config))
        got = scorer.score(bundle.golden.inputs)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, bundle.golden.outputs, atol=1e-6)
        scorer.check_golden()


ROWS = 2 * TILE_ROWS + 300
cuts = st.lists(st.integers(0, ROWS), max_size=12).map(lambda found: sorted({0, ROWS, *found}))


@settings(max_examples=40)
@given(index=st.integers(0, len(CONFIGS) - 1), cut=cuts)
def test_chunk_boundaries_change_no_bit(scorers: list[Scorer], index: int, cut: list[int]) -> None:
    x = rows_of(CONFIGS[index], ROWS)
    whole = scorers[index].score(x)
    pieces = [scorers[index].score(x[a:b]) for a, b in itertools.pairwise(cut)]
    assert np.concatenate(pieces).tobytes() == whole.tobytes()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 33, 64, 255, TILE_ROWS])
def test_every_batch_size_gives_a_row_the_same_bits(scorers: list[Scorer], n: int) -> None:
    for scorer, config in zip(scorers, CONFIGS, strict=True):
        x = rows_of(config, TILE_ROWS)
        assert scorer.score(x[:n]).tobytes() == scorer.score(x)[:n].tobytes()
        assert scorer.score(x[-n:]).tobytes() == scorer.score(x)[-n:].tobytes()


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), index=st.integers(0, len(CONFIGS) - 1))
def test_place_and_neighbours_change_no_bit(scorers: list[Scorer], seed: int, index: int) -> None:
    rng = np.random.default_rng(seed)
    x = rows_of(CONFIGS[index], TILE_ROWS + 50)
    alone = scorers[index].score(x)
    order = rng.permutation(len(x))
    assert scorers[index].score(x[order]).tobytes() == alone[order].tobytes()
    wild = rng.random(len(x)) < 0.5
    x[wild] = rng.choice([np.nan, np.inf, -np.inf, 3e38], size=(wild.sum(), 1))
    assert scorers[index].score(x)[~wild].tobytes() == alone[~wild].tobytes()


def test_another_process_with_other_threads_gives_the_same_bytes(scorers: list[Scorer]) -> None:
    """A worker that takes over after a crash publishes the decisions that the dead one did."""
    expected = [
        hashlib.sha256(scorer.score(rows_of(config, 600)).tobytes()).hexdigest()
        for scorer, config in zip(scorers, CONFIGS, strict=True)
    ]
    code = f"""
import hashlib, importlib.util
spec = importlib.util.spec_from_file_location("scores_of_the_other", {__file__!r})
here = importlib.util.module_from_spec(spec)
spec.loader.exec_module(here)
for i, config in enumerate(here.CONFIGS):
    scorer = here.Scorer(here.make_bundle(config, seed=i), config.builder)
    x = here.rows_of(config, 600)
    got = here.np.concatenate([scorer.score(x[a:a + 77]) for a in range(0, 600, 77)])
    print(hashlib.sha256(got.tobytes()).hexdigest())
"""
    threads = {"TF_NUM_INTRAOP_THREADS": "4", "TF_NUM_INTEROP_THREADS": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | threads,
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    assert done.stdout.split() == expected


def test_threads_may_share_a_scorer(scorers: list[Scorer]) -> None:
    x = rows_of(CONFIGS[0], 700)
    expected = scorers[0].score(x).tobytes()
    with ThreadPoolExecutor(4) as pool:
        assert {got.tobytes() for got in pool.map(scorers[0].score, [x] * 40)} == {expected}


def test_no_rows_give_no_scores(scorers: list[Scorer]) -> None:
    assert scorers[0].score(np.empty((0, 36), np.float32)).shape == (0, 10)


def test_a_row_of_nan_is_seen_in_its_scores(scorers: list[Scorer]) -> None:
    assert np.isnan(scorers[2].score(np.full((1, 5), np.nan, np.float32))).all()


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((3, 35), np.float32),
        np.zeros(36, np.float32),
        np.zeros((3, 36), np.float64),
        np.zeros((36, 3), np.float32).T,
        np.zeros((3, 72), np.float32)[:, ::2],
    ],
)
def test_inputs_of_another_shape_type_or_order_are_refused(scorers: list[Scorer], x: Any) -> None:
    with pytest.raises(ValueError, match=r"expected C-ordered float32 of shape \(n, 36\)"):
        scorers[0].score(x)


def test_scores_stay_when_the_features_are_overwritten(scorers: list[Scorer]) -> None:
    x = rows_of(CONFIGS[0], TILE_ROWS)
    got = scorers[0].score(x)
    before = got.tobytes()
    x[:] = 0
    scorers[0].score(x)
    assert got.tobytes() == before


def test_a_new_model_of_the_same_shape_compiles_nothing(scorers: list[Scorer]) -> None:
    x = rows_of(CONFIGS[0], 10)
    before, compiled = scorers[0].score(x).tobytes(), scores._compiled.cache_info().misses
    other = Scorer(make_bundle(CONFIGS[0], seed=99))
    assert scores._compiled.cache_info().misses == compiled
    assert other.score(x).tobytes() != before == scorers[0].score(x).tobytes()


def test_weights_of_another_network_are_refused() -> None:
    bundle = make_bundle(CONFIGS[2])
    weights = {name: np.repeat(array, 2, axis=-1) for name, array in bundle.weights.items()}
    wide = make_bundle(CONFIGS[2], weights=weights)
    with pytest.raises(BundleError, match=r"delta/bias: expected \(3,\), got \(6,\)"):
        Scorer(wide)


def test_a_golden_batch_that_does_not_come_out_is_refused() -> None:
    Scorer(make_bundle(CONFIGS[2], shift=5e-6)).check_golden()
    with pytest.raises(BundleError, match=r"within 1e-05, got a difference of 0\.001"):
        Scorer(make_bundle(CONFIGS[2], shift=1e-3)).check_golden()


def custom(function: str, **changes: Any) -> Bundle:
    network = {"network": "custom", "head": "choice", "inputs": 5, "outputs": 3}
    builder = f"tests.custom_networks:{function}"
    return make_bundle(NetworkConfig(**network, builder=builder), **changes)


def test_a_custom_network_is_scored_only_with_permission() -> None:
    bundle = custom("normalized")
    Scorer(bundle, "tests.custom_networks:normalized").check_golden()
    for allowed in ("", "tests.custom_networks:narrow"):
        with pytest.raises(BundleError, match=f"expected builder '{allowed}'"):
            Scorer(bundle, allowed)
    Scorer(make_bundle(CONFIGS[2]), "tests.custom_networks:normalized")  # needs none


def test_permission_for_a_builder_changes_no_other_model(scorers: list[Scorer]) -> None:
    x = rows_of(CONFIGS[0], 30)
    permitted = Scorer(make_bundle(CONFIGS[0]), "tests.custom_networks:raises")
    assert permitted.score(x).tobytes() == scorers[0].score(x).tobytes()


def test_layers_that_xla_cannot_compile_are_refused() -> None:
    bundle = custom("python_in_the_graph")
    with pytest.raises(BundleError, match=r"expected layers that XLA compiles, got .*PyFunc"):
        Scorer(bundle, bundle.manifest.network.builder)


def test_layers_that_look_across_rows_are_refused() -> None:
    bundle = custom("mixes_rows")
    with pytest.raises(BundleError, match="depend on that row alone"):
        Scorer(bundle, bundle.manifest.network.builder).check_golden()


def test_layers_that_draw_random_numbers_when_they_score_are_refused() -> None:
    bundle = custom("dices")
    with pytest.raises(BundleError, match="golden batch"):
        Scorer(bundle, bundle.manifest.network.builder).check_golden()


def test_the_time_of_a_tile_is_that_of_its_best_run() -> None:
    class Busy:
        features = 5
        waits_s = itertools.chain([0.05, 0.002], itertools.repeat(0.02))

        def score(self, x: Any) -> None:
            assert x.shape == (TILE_ROWS, 5)
            time.sleep(next(self.waits_s))

    assert 2 <= scores.score_ms(cast("Scorer", Busy())) < 20


# ---- watcher -------------------------------------------------------------------------------------

SMALL = CONFIGS[2]
KNOWN = {*STRATEGIES[:3], "nothing"}
BUILDER = "tests.custom_networks:raises"
RAISES = NetworkConfig(network="custom", head="choice", inputs=5, outputs=3, builder=BUILDER)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry")


@pytest.fixture
def watcher(registry: Registry, caplog: pytest.LogCaptureFixture) -> ModelWatcher:
    caplog.set_level(logging.INFO, "opportune.model")
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
        lambda: make_bundle(SMALL, seed=2, strategies=("strategy-0", "sms", "nothing")),
        "got also ['sms']",
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
    monkeypatch.setattr("stream.reload.score_ms", lambda scorer: next(took_ms))
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
    caplog.set_level(logging.INFO, "opportune.model")
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
