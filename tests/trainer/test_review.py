"""Models beside each other on rows that neither has seen; a published model on later data."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
import pytest

from models.bundle import Bundle
from models.errors import BundleError
from stream.campaign.file import Campaign, parse
from tests.trainer.shop_history import CAMPAIGN, DAY_MS, START_MS, Event, Memory, chunks, shop
from trainer.commands.options.output_file import PageFile, write_report
from trainer.errors import TrainingError
from trainer.evaluation.baselines import BASE_RATE
from trainer.evaluation.evaluation import CANDIDATE, CHAMPION
from trainer.report import published
from trainer.report.judged_model import judged
from trainer.report.report import Report
from trainer.review import review
from trainer.train import Prepared, Trained, prepare, train

pytestmark = pytest.mark.slow

CREATED = datetime(2026, 11, 24, tzinfo=UTC)
TEXT = CAMPAIGN.replace("epochs = 12", "epochs = 3") + (
    "[model]\nnetwork = 'linear'\n[evaluation]\nresamples = 50\n[gate]\nslice_rows_min = 50\nunproven = 'promote'\n"
)
UNTIL_MS = START_MS + 140 * DAY_MS


def campaign(more: str = "") -> Campaign:
    return parse(TEXT.replace("epochs = 3", "epochs = 3\n" + more))


def prepared(events: list[Event], folder: Path, with_: Campaign) -> Prepared:
    folder.mkdir()
    return prepare(with_, Memory(chunks(events)), folder, 5)


def trained(events: list[Event], folder: Path, with_: Campaign, **how: Any) -> Trained:
    return train(with_, prepared(events, folder, with_), seed=5, created=CREATED, **how)


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return shop(150, seed=3)


@pytest.fixture(scope="module")
def early(events: list[Event], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A model of the first 140 of 200 days."""
    folder = tmp_path_factory.mktemp("early") / "work"
    return trained([one for one in events if one.time_ms < UNTIL_MS], folder, campaign())


def ending(bundle: Bundle, end_ms: int) -> Bundle:
    """The same model, as if it had been fitted on data up to another time."""
    window = msgspec.structs.replace(bundle.manifest.window, end_ms=end_ms)
    return replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, window=window))


def without_report(bundle: Bundle) -> Bundle:
    files = {name: data for name, data in bundle.files.items() if name != "report.json"}
    return replace(bundle, files=files)


def test_a_champion_that_was_fitted_on_the_test_part_is_not_compared(
    events: list[Event], tmp_path: Path
) -> None:
    champion = trained(events, tmp_path / "a", campaign("test_share = 0")).bundle
    found = trained(events, tmp_path / "b", campaign(), champion=champion)
    assert not found.verdict.promote
    (check,) = found.verdict.failed
    assert check.name == "comparable"
    assert "not comparable: the champion has seen these rows" in check.why
    assert "comparable" in found.verdict.words
    evaluation = found.report.evaluation
    assert evaluation is not None
    assert CHAMPION not in evaluation.models
    assert evaluation.all.rows > 100, "the candidate is judged on all of them"


def test_a_champion_that_has_seen_some_rows_is_compared_on_the_others(
    events: list[Event], early: Trained, tmp_path: Path
) -> None:
    history = prepared(events, tmp_path / "a", campaign())
    times = np.sort(history.dataset.time_ms[history.dataset.split().test])
    end_ms = int(times[len(times) // 3]) - 10 * DAY_MS  # and one attribution window
    champion = ending(judged(early.bundle), end_ms)
    found = train(campaign(), history, seed=5, created=CREATED, champion=champion)
    evaluation = found.report.evaluation
    assert evaluation is not None
    assert evaluation.unseen is not None
    rows = int((times >= end_ms + 10 * DAY_MS).sum())
    assert 50 < rows < len(times)
    assert (evaluation.all.rows, evaluation.unseen.all.rows) == (len(times), rows)
    assert evaluation.unseen.start is not None
    assert evaluation.unseen.start.timestamp() * 1000 >= end_ms + 10 * DAY_MS
    assert found.verdict.rows == rows
    assert found.verdict.opponent == f"champion {champion.manifest.version}"
    assert f"compared on {rows} of these {len(times)} cases" in found.report.html().decode()
    assert "Beside the current model" in found.report.html().decode()


def test_a_review_takes_thresholds_and_base_rates_from_the_report(
    events: list[Event], early: Trained, tmp_path: Path
) -> None:
    before = early.report.evaluation
    assert before is not None
    history = prepared(events, tmp_path / "a", campaign())
    found = review(campaign(), history, early.bundle, None, CREATED).evaluation
    assert found is not None
    later_ms = early.bundle.manifest.window.end_ms + 10 * DAY_MS
    assert found.start is not None
    assert found.start.timestamp() * 1000 >= later_ms
    assert found.all.metrics[CANDIDATE]["roc_auc"].value > 0.6
    for model in (CANDIDATE, BASE_RATE):
        assert found.thresholds[model] == before.thresholds[model]
    assert found.base_rates == before.base_rates
    assert set(before.base_rates) == {"mail", "call", "nothing"}
    rate = before.base_rates["mail"]
    mail = next(group for group in found.groups if group.name == "mail")
    assert mail.metrics[BASE_RATE]["predicted_rate"].value == pytest.approx(rate)


def test_a_review_needs_nothing_of_the_training_window(
    events: list[Event], early: Trained, tmp_path: Path
) -> None:
    kept = [one for one in events if one.time_ms >= early.bundle.manifest.window.end_ms]
    history = prepared(kept, tmp_path / "a", campaign())
    found = review(campaign(), history, early.bundle, None, CREATED).evaluation
    assert found is not None
    assert "f1" in found.all.metrics[CANDIDATE]
    assert BASE_RATE in found.models


def test_a_review_is_of_the_features_of_the_model(
    events: list[Event], early: Trained, tmp_path: Path
) -> None:
    other = parse(TEXT + '[[features]]\nop = "tenure"\n')
    with pytest.raises(TrainingError, match="which this campaign file declares"):
        review(other, prepared(events, tmp_path / "a", other), early.bundle, None, CREATED)


def test_a_review_without_a_report_has_nothing_that_needs_a_threshold(
    events: list[Event], early: Trained, tmp_path: Path
) -> None:
    history = prepared(events, tmp_path / "a", campaign())
    report = review(campaign(), history, without_report(early.bundle), None, CREATED)
    assert report.evaluation is not None
    assert report.evaluation.models == (CANDIDATE,)
    assert "log_loss" in report.evaluation.all.metrics[CANDIDATE]
    assert "f1" not in report.evaluation.all.metrics[CANDIDATE]
    assert b"It was chosen for each strategy" not in report.html()


def test_a_review_beside_a_later_champion_is_of_all_rows_after_the_model(
    events: list[Event], early: Trained, tmp_path: Path
) -> None:
    history = prepared(events, tmp_path / "a", campaign())
    alone = review(campaign(), history, early.bundle, None, CREATED).evaluation
    late = ending(early.bundle, int(history.dataset.time_ms.max()) - 30 * DAY_MS)
    beside = review(campaign(), history, early.bundle, late, CREATED).evaluation
    assert alone is not None
    assert beside is not None
    assert beside.all.rows == alone.all.rows
    assert beside.unseen is not None
    assert 0 < beside.unseen.all.rows < beside.all.rows
    assert beside.unseen.all.gains[CHAMPION]["log_loss"].value == 0.0, "the same model"


def test_what_a_report_says_is_read_or_refused(early: Trained) -> None:
    assert published.thresholds(without_report(early.bundle)) is None
    broken = replace(early.bundle, files={**early.bundle.files, "report.json": b"{"})
    with pytest.raises(BundleError, match=r"report\.json"):
        published.base_rates(broken)
    unjudged = replace(early.bundle, files={**early.bundle.files, "report.json": b"{}"})
    assert published.base_rates(unjudged) is None


def test_the_json_of_a_report_lies_beside_its_page(early: Trained, tmp_path: Path) -> None:
    page = tmp_path / "spring.html"
    write_report(early.report, page)
    assert page.read_bytes() == early.report.html()
    assert Report.decode((tmp_path / "spring.json").read_bytes()) == early.report
    assert PageFile().convert(str(page), None, None) == page
    with pytest.raises(click.BadParameter, match="where the JSON goes"):
        PageFile().convert(tmp_path / "spring.json", None, None)
    (tmp_path / "summer.json").mkdir()
    with pytest.raises(click.BadParameter, match=r"summer\.json"):
        PageFile().convert(tmp_path / "summer.html", None, None)
