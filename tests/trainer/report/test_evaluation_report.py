"""The report: a page that needs nothing else and says what is in the evaluation."""

from __future__ import annotations

import html
import re

import msgspec
import numpy as np
import pytest

from stream.campaign.training import EvaluationSpec
from stream.visible import visible
from tests.trainer.report.evaluation_page import FACTS, NAMES, START_MS, Tree, evaluation, nodes
from trainer.evaluation.evaluate import evaluate
from trainer.evaluation.evaluation import CANDIDATE, CHAMPION, Evaluation
from trainer.evaluation.judged import Head, Judged, Scored
from trainer.report import wording
from trainer.report.html import render_html
from trainer.report.wording import METRIC_WORDS


@pytest.fixture(scope="module")
def page(judged: Evaluation) -> str:
    return render_html(judged, FACTS).decode()


def test_the_page_needs_nothing_else(page: str) -> None:
    everything = nodes(Tree(page).root)
    assert not {"script", "link", "img", "iframe", "object", "base"} & {
        one.tag for one in everything
    }
    for one in everything:
        assert not [name for name in one.attributes if name.startswith("on")]
        assert "src" not in one.attributes
        assert (one.attributes.get("href") or "#").startswith("#")
    for outside in ("http:", "https:", "//", "@import", "@font-face", "data:"):
        assert outside not in page, outside
    assert re.findall(r"url\((?!#)", page) == []
    assert "metadata" not in page


def test_ids_are_unique_and_references_find_theirs(page: str) -> None:
    everything = nodes(Tree(page).root)
    ids = [one.attributes["id"] for one in everything if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    wanted = set(re.findall(r"url\(#([^)]*)\)", page))
    wanted |= {(one.attributes["href"] or "")[1:] for one in everything if "href" in one.attributes}
    assert wanted
    assert wanted <= set(ids)


def test_every_chart_says_what_it_shows(page: str) -> None:
    charts = Tree(page).root.find("svg")
    assert len(charts) == 4 + 1 + 3 + 1 + 2
    for one in charts:
        assert one.attributes["role"] == "img"
        assert len(one.attributes["aria-label"] or "") > 30
    lift = next(one for one in charts if "Lift" in (one.attributes["aria-label"] or ""))
    assert "New model: 2.58, " in (lift.attributes["aria-label"] or "")
    assert "#0" not in "".join(str(one) for one in charts), "placeholders of colours are replaced"
    assert "var(--series-0)" in page


@pytest.mark.parametrize(("head", "areas"), [("response", 2), ("choice", 1)])
def test_curves_have_areas_around_the_models_that_matter(head: Head, areas: int) -> None:
    judged = evaluation(head, 600)
    charts = Tree(render_html(judged).decode()).root.find("svg")
    for name in ("Cumulative gain", "ROC curves", "Precision-recall curves"):
        chart = next(one for one in charts if name in (one.attributes["aria-label"] or ""))
        styles = [one.attributes.get("style") or "" for one in nodes(chart)]
        filled = {one for one in styles if "fill-opacity: 0.16" in one}
        assert len(filled) == areas, name
        assert "var(--series-0)" in "".join(filled)


def test_the_page_is_small_and_the_same_every_time(judged: Evaluation, page: str) -> None:
    assert len(page) < 500_000
    assert render_html(judged, FACTS).decode() == page


def test_it_reads_well_in_dark_and_on_paper(page: str) -> None:
    style = Tree(page).root.find("style")[0].words
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style
    assert "@media screen and (prefers-color-scheme: dark)" in style, "paper stays white"
    declared = set(re.findall(r"(--[a-z0-9-]+):", style))
    assert set(re.findall(r"var\((--[a-z0-9-]+)\)", page)) <= declared


@pytest.mark.slow
@pytest.mark.parametrize("name", ["\x1b[2J", "\x9b31m", "\u202egnp", "a\x00b\r", "日本", "$x^{$"])
def test_no_text_acts_on_a_terminal_or_breaks_a_chart(judged: Evaluation, name: str) -> None:
    facts = msgspec.structs.replace(FACTS, campaign=name, importance={name: 0.7, "b": 0.3})
    page = render_html(judged, facts).decode()
    assert page.count(html.escape(visible(name))) >= 2  # in the text and in the chart
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", page)


def test_texts_are_escaped(page: str) -> None:
    assert "<script" not in page
    assert "spring &lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page
    root = Tree(page).root
    assert "log loss <not> better" in root.words
    assert "adam, $0.001$ & <b>" in root.words
    labels = [one.words for one in root.find("text")]
    assert "learning <rate>" in labels
    assert "a$b$c" in labels, "dollars are no formulas"


def number(text: str) -> tuple[float, float]:
    """A number as shown, in its unit, and how much it may be rounded."""
    found = re.match(r"[−+]?[\d,]+(\.\d+)?", text)
    assert found, text
    shown = found[0].replace(",", "").replace("−", "-")
    return float(shown), 0.5000001 * 10.0 ** -len(shown.partition(".")[2])


@pytest.mark.parametrize("head", ["response", "choice"])
def test_every_number_of_the_evaluation_is_in_the_appendix(head: Head) -> None:
    judged = evaluation(head, 600)
    root = Tree(render_html(judged).decode()).root
    appendix = next(
        one for one in root.find("section") if one.attributes.get("class") == "appendix"
    )
    tables = appendix.find("table")
    assert len(tables) == len(judged.groups)
    checked = 0
    for group, table in zip(judged.groups, tables, strict=True):
        assert f"{group.rows:,} cases" in table.find("caption")[0].words
        rows = {
            row.find("th")[0].words: row.find("td")
            for row in table.find("tbody")[0].find("tr")
        }  # fmt: skip
        for metric, word in METRIC_WORDS.items():
            for column, model in enumerate(judged.models):
                estimate = group.metrics[model].get(metric)
                if estimate is None:
                    assert word.label not in rows or "not defined" in rows[word.label][column].words
                    continue
                cell = rows[word.label][column]
                shown, rounding = number(cell.words)
                assert shown == pytest.approx(word.scale * estimate.value, abs=rounding)
                gain = group.gains.get(model, {}).get(metric)
                if gain is not None:
                    mark, text = cell.find("small")[-1].words.split(" ", 1)
                    assert mark == {1: "▲", 0: "●", -1: "▼"}[wording.clearly(gain)]
                    shown, rounding = number(text)
                    assert shown == pytest.approx(word.scale * gain.value, abs=rounding)
                checked += 1
    assert checked > 150


def test_what_is_known_of_data_and_training_is_told(page: str) -> None:
    words = Tree(page).root.words
    for told in (
        "1,234,567 events", "98,765 cases", "4,321 customers", "without a decision before", "1,031",
        "no_customer", "Search over 30 models", "2,000", "5.0\N{NO-BREAK SPACE}%", "1\N{NO-BREAK SPACE}May 2024",
        "✗ not shown to earn more", "20240501T000000Z-00000001",
    ):  # fmt: skip
        assert told in words, told


@pytest.mark.parametrize("head", ["response", "choice"])
def test_it_renders_without_facts_and_without_a_champion(head: Head) -> None:
    judged = evaluation(head, 300)
    groups = tuple(
        msgspec.structs.replace(
            group,
            metrics={CANDIDATE: group.metrics[CANDIDATE]},
            gains={},
            curves={name: found for name, found in group.curves.items() if name == CANDIDATE},
        )
        for group in judged.groups
    )
    words = Tree(render_html(msgspec.structs.replace(judged, groups=groups)).decode()).root.words
    assert "no current model" in words
    assert "Slices" not in words
    assert "go live" not in words
    assert "Data" not in words.split()
    assert "None" not in words
    assert "nan" not in words.split()


def test_a_report_of_one_class_alone_is_one() -> None:
    for outcome in (False, True):
        n = 40
        judged = Judged(
            "response", NAMES, np.arange(n) % 3, np.full(n, outcome), np.arange(n),
            START_MS + np.arange(n), np.ones(n),
        )  # fmt: skip
        scores = Scored(np.full((n, 3), 0.2, np.float32), np.full(3, 0.1))
        found = evaluate(judged, scores, {CHAMPION: scores}, EvaluationSpec(resamples=50), 1)
        root = Tree(render_html(found).decode()).root
        assert "ROC AUC" not in [row.words for row in root.find("section")[1].find("th")]
        assert "Cumulative gain" not in root.words
