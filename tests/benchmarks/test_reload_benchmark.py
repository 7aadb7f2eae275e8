"""The benchmark of model changes: which events count as around a swap, and what is made of them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.reference.model import ReferenceModel
from benchmarks.reload import Quantiles, Swap, _around, _variant
from stream.scoring.scorer import Scorer

SWAPS = [Swap("new", 10_000.0, 10_400.0), Swap("new", 20_000.0, 20_200.0)]


def test_events_around_a_swap_are_told_from_the_quiet_ones_before() -> None:
    append_ms = np.arange(0, 30_000)
    late_ms = np.full(30_000, 5.0)
    late_ms[9_950:11_400] = 40.0  # from just before it loads until a second after
    late_ms[19_950:21_200] = 60.0
    late_ms[9_500:9_950] = 999.0  # neither quiet nor around
    late_ms[11_400:12_000] = 999.0
    late_ms[8_000] = np.nan
    found = _around(SWAPS, append_ms, late_ms)
    assert found.load_ms == 300
    assert (found.quiet.events, found.quiet.p99_ms, found.quiet.max_ms) == (4_999, 5.0, 5.0)
    assert (found.swap.events, found.swap.max_ms) == (1_450 + 1_250, 60.0)
    assert found.worst_p99_ms == 60.0


def test_nothing_was_measured_in_an_empty_window() -> None:
    empty = Quantiles.of(np.full(3, np.nan))
    assert empty.events == 0
    assert np.isnan(empty.p99_ms)


def test_every_variant_decides_the_same_with_another_version_and_shape() -> None:
    x = np.random.default_rng(0).normal(size=(300, 36)).astype(np.float32)
    expected = ReferenceModel.load().forward(x.astype(np.float64))
    bundles = [_variant(1, 0), _variant(2, 1), _variant(3, 0), _variant(4, 2)]
    assert len({bundle.manifest.version for bundle in bundles}) == 4
    assert [bundle.manifest.network.hidden for bundle in bundles] == [(32,), (33,), (32,), (34,)]
    for bundle in bundles:
        scorer = Scorer(bundle)
        scorer.check_golden()
        assert scorer.score(x) == pytest.approx(expected, abs=1e-5)
