"""Scores that depend on the row alone."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import BundleError
from stream.scoring import scorer as scorer_module
from stream.scoring.scorer import TILE_ROWS, Scorer
from tests.stream.scoring.scores_harness import (
    CONFIGS,
    STRATEGIES,
    contract_of,
    custom,
    make_bundle,
    rows_of,
)


@pytest.fixture(scope="module")
def scorers() -> list[Scorer]:
    return [Scorer(make_bundle(config, seed=i), config.builder) for i, config in enumerate(CONFIGS)]


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


@pytest.mark.slow
def test_another_process_with_other_threads_gives_the_same_bytes(scorers: list[Scorer]) -> None:
    """A worker that takes over after a crash publishes the decisions that the dead one did."""
    expected = [
        hashlib.sha256(scorer.score(rows_of(config, 600)).tobytes()).hexdigest()
        for scorer, config in zip(scorers, CONFIGS, strict=True)
    ]
    code = """
import hashlib
import numpy as np
from stream.scoring.scorer import Scorer
from tests.stream.scoring.scores_harness import CONFIGS, make_bundle, rows_of
for i, config in enumerate(CONFIGS):
    scorer = Scorer(make_bundle(config, seed=i), config.builder)
    x = rows_of(config, 600)
    got = np.concatenate([scorer.score(x[a:a + 77]) for a in range(0, 600, 77)])
    print(hashlib.sha256(got.tobytes()).hexdigest())
"""
    threads = {"TF_NUM_INTRAOP_THREADS": "4", "TF_NUM_INTEROP_THREADS": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | threads,
        cwd=Path(__file__).parents[3],
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
    before, compiled = scorers[0].score(x).tobytes(), scorer_module._compiled.cache_info().misses
    other = Scorer(make_bundle(CONFIGS[0], seed=99))
    assert scorer_module._compiled.cache_info().misses == compiled
    assert other.score(x).tobytes() != before == scorers[0].score(x).tobytes()


def test_weights_of_another_network_are_refused() -> None:
    bundle = make_bundle(CONFIGS[2])
    weights = {name: array.T for name, array in bundle.weights.items()}  # of the same size
    turned = make_bundle(CONFIGS[2], weights=weights)
    with pytest.raises(BundleError, match=r"delta/kernel: expected \(5, 3\), got \(3, 5\)"):
        Scorer(turned)


def test_a_golden_batch_that_does_not_come_out_is_refused() -> None:
    Scorer(make_bundle(CONFIGS[2], shift=5e-6)).check_golden()
    with pytest.raises(BundleError, match=r"within 1e-05, got a difference of 0\.001"):
        Scorer(make_bundle(CONFIGS[2], shift=1e-3)).check_golden()


def test_a_custom_network_is_scored_only_with_permission() -> None:
    bundle = custom("normalized")
    Scorer(bundle, "tests.models.custom_networks:normalized").check_golden()
    for allowed in ("", "tests.models.custom_networks:narrow"):
        with pytest.raises(BundleError, match=f"expected builder '{allowed}'"):
            Scorer(bundle, allowed)
    Scorer(make_bundle(CONFIGS[2]), "tests.models.custom_networks:normalized")  # needs none


def test_permission_for_a_builder_changes_no_other_model(scorers: list[Scorer]) -> None:
    x = rows_of(CONFIGS[0], 30)
    permitted = Scorer(make_bundle(CONFIGS[0]), "tests.models.custom_networks:raises")
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

    assert 2 <= scorer_module.score_ms(cast("Scorer", Busy())) < 20


def test_scores_that_are_no_numbers_do_not_come_out_either() -> None:
    """Weights that are finite may overflow."""
    drawn = make_bundle(CONFIGS[2]).weights
    weights = {name: np.copysign(np.float32(3e38), array) for name, array in drawn.items()}
    with pytest.raises(BundleError, match=r"within 1e-05, got a difference of nan"):
        Scorer(make_bundle(CONFIGS[2], weights=weights)).check_golden()
