"""What is published has learned from all mature history; what was judged stays beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from models.bundle import Bundle
from models.errors import BundleError
from stream.campaign.file import parse
from tests.trainer.shop_history import CAMPAIGN, Memory, chunks, shop
from trainer.report.judged_model import FILE, judged
from trainer.train import Trained, prepare, train

pytestmark = pytest.mark.slow

TEXT = (
    CAMPAIGN.replace("epochs = 12", "epochs = 3")
    + '[model]\nnetwork = "linear"\n[evaluation]\nresamples = 50\n'
    + "[gate]\nslice_rows_min = 50\nunproven = 'promote'\n"
)


def trained_on(folder: Path, champion: Bundle | None = None, **training: Any) -> Trained:
    campaign = parse(TEXT)
    campaign = msgspec.structs.replace(
        campaign, training=msgspec.structs.replace(campaign.training, **training)
    )
    folder.mkdir()
    events = shop(90, seed=3)
    prepared = prepare(campaign, Memory(chunks(events, size=200)), folder, 5)
    created = datetime(2026, 11, 24, tzinfo=UTC)
    return train(campaign, prepared, seed=5, created=created, champion=champion)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Trained]:
    folder = tmp_path_factory.mktemp("refit")
    return trained_on(folder / "refitted"), trained_on(folder / "judged", refit=False)


def test_what_is_published_has_learned_from_all_and_says_so(both: tuple[Trained, Trained]) -> None:
    refitted, alone = both
    assert alone.bundle.manifest.judged_window is None
    assert FILE not in alone.bundle.files
    manifest, periods = refitted.bundle.manifest, refitted.report.facts.periods
    assert manifest.judged_window == alone.bundle.manifest.window
    end = periods["test"].end
    assert end is not None
    newest_ms = round(end.timestamp() * 1000)
    assert manifest.window.end_ms == newest_ms + 1 > alone.bundle.manifest.window.end_ms
    told = refitted.report.facts.settings["published"]
    assert told.startswith("fitted anew on all examples until 2024-05-")
    assert told in refitted.bundle.files["report.html"].decode()
    kernel = max(alone.bundle.weights, key=lambda name: alone.bundle.weights[name].size)
    assert (refitted.bundle.weights[kernel] != alone.bundle.weights[kernel]).any()
    assert (refitted.bundle.normalization.mean != alone.bundle.normalization.mean).any()


def test_the_verdict_is_of_the_model_that_was_judged(both: tuple[Trained, Trained]) -> None:
    refitted, alone = both
    assert refitted.report.evaluation == alone.report.evaluation
    assert refitted.bundle.manifest.metrics == alone.bundle.manifest.metrics
    kept = judged(refitted.bundle)
    assert kept.manifest.window == alone.bundle.manifest.window
    for name, array in alone.bundle.weights.items():
        np.testing.assert_array_equal(kept.weights[name], array)
    np.testing.assert_array_equal(kept.golden.outputs, alone.bundle.golden.outputs)
    assert judged(alone.bundle) is alone.bundle


def test_a_refitted_bundle_is_one_like_any_other(
    both: tuple[Trained, Trained], tmp_path: Path
) -> None:
    refitted, _ = both
    refitted.bundle.save(tmp_path / "kept")
    loaded = Bundle.load(tmp_path / "kept")
    assert loaded.manifest == refitted.bundle.manifest
    assert loaded.files == refitted.bundle.files
    damaged = Bundle(
        loaded.manifest, {**loaded.files, FILE: b"none"}, loaded.weights, loaded.golden
    )
    with pytest.raises(BundleError, match=r"report\.judged"):
        judged(damaged)


def test_a_later_candidate_is_compared_with_what_was_judged(
    both: tuple[Trained, Trained], tmp_path: Path
) -> None:
    """The published one has seen all of its rows: on those nothing would compare."""
    refitted, alone = both
    beside = trained_on(tmp_path / "beside", refitted.bundle)
    assert beside.verdict.opponent == f"champion {refitted.bundle.manifest.version}"
    assert beside.verdict.difference is not None
    assert beside.verdict.difference.value == 0.0
    other = trained_on(tmp_path / "other", alone.bundle, refit=False)
    assert beside.verdict.rows == other.verdict.rows > 0
