"""The report: JSON that stays as it is, and a page that needs nothing else and says what is in it."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from stream.campaign_training import EvaluationSpec
from trainer.evaluation import wording
from trainer.evaluation.evaluate import evaluate
from trainer.evaluation.evaluation import CANDIDATE, CHAMPION, Estimate, Evaluation
from trainer.evaluation.facts import Check, Examples, Facts, Span
from trainer.evaluation.html import render_html
from trainer.evaluation.judged import Head, Judged, Scored
from trainer.evaluation.summary import caveats, sentences
from trainer.evaluation.wording import METRIC_WORDS

GOLDEN = Path(__file__).parent / "golden" / "evaluation.json"
START_MS = 1_709_251_200_000  # 1 March 2024
NAMES = ("mail", "push", "nothing")
TIME = datetime(2024, 5, 1, tzinfo=UTC)
VOID = {"meta", "link", "br", "img", "hr", "input"}

FACTS = Facts(
    campaign="spring <script>alert(1)</script> & more",
    candidate="20240501T000000Z-00000001",
    champion="20240401T000000Z-00000002",
    created=TIME,
    outcome="Order Completed",
    attribution_window="14d",
    events=1_234_567,
    history=Span(TIME, TIME, 98_765, 4_321),
    periods={"test": Span(TIME, TIME, 2_000, 600)},
    joins={"without a decision before": 1_031},
    examples={"mail": Examples(7_000, 350)},
    rejects={"no_customer": 31},
    settings={"optimizer": "adam, $0.001$ & <b>"},
    losses=(0.3, 0.2, 0.15),
    validation_losses=(0.31, 0.25, 0.24),
    trials=30,
    importance={"learning <rate>": 0.7, "a$b$c": 0.3},
    promoted=False,
    checks=(Check(True, "fast"), Check(False, "log loss <not> better")),
)


def evaluation(head: Head = "response", n: int = 2_000) -> Evaluation:
    pick = np.random.default_rng(1)
    z = pick.normal(-1.5, 1, n)
    y = pick.random(n) < 1 / (1 + np.exp(-z))
    strategy = pick.integers(0, 3, n)

    def scored(noise: float) -> Scored:
        p = 1 / (1 + np.exp(-(z + pick.normal(0, noise, n))))
        if head == "response":
            return Scored(
                np.repeat(p[:, np.newaxis], 3, axis=1).astype(np.float32), np.full(3, 0.3)
            )
        logits = np.eye(3)[strategy] / (0.5 + noise) + pick.normal(0, 1, (n, 3))
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return Scored(shares.astype(np.float32))

    judged = Judged(
        head, NAMES, strategy, y | (head == "choice"), pick.integers(0, n // 3, n),
        START_MS + np.arange(n) * 3_600_000, np.ones(n), {"buyers & co": z > -1.5},
    )  # fmt: skip
    others = {CHAMPION: scored(0.8), "rfm": scored(1.2), "base_rate": scored(3.0)}
    return evaluate(judged, scored(0.1), others, EvaluationSpec(resamples=60), seed=1)


@pytest.fixture(scope="module")
def judged() -> Evaluation:
    return evaluation()


@pytest.fixture(scope="module")
def page(judged: Evaluation) -> str:
    return render_html(judged, FACTS).decode()


@dataclass
class Node:
    tag: str
    attributes: dict[str, str | None]
    text: list[str] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)

    def find(self, tag: str) -> list[Node]:
        below = [one for child in self.children for one in child.find(tag)]
        return [self, *below] if self.tag == tag else below

    @property
    def words(self) -> str:
        return " ".join([*self.text, *(child.words for child in self.children)]).strip()


class Tree(HTMLParser):
    """A strict parser: every element is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root = Node("", {})
        self.open = [self.root]
        self.feed(text)
        self.close()
        assert self.open == [self.root], [node.tag for node in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, dict(attrs))
        assert len(node.attributes) == len(attrs), "an attribute stands once"
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Node(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, self.getpos()

    def handle_data(self, data: str) -> None:
        self.open[-1].text.append(data)


def nodes(node: Node) -> list[Node]:
    return [node, *(one for child in node.children for one in nodes(child))]


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
        "✗ does not go live", "20240501T000000Z-00000001",
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
    assert "goes live" not in words
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


def gained(judged: Evaluation, low: float, high: float) -> Evaluation:
    everyone = judged.all
    gain = Estimate((low + high) / 2, low, high)
    changed = msgspec.structs.replace(
        everyone, gains={**everyone.gains, CHAMPION: {"log_loss": gain}}
    )
    return msgspec.structs.replace(judged, groups=(changed, *judged.groups[1:]))


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.01, 0.03, "It predicts better than the current model: its log loss is"),
        (-0.01, 0.03, "It is not clearly better or worse than the current model"),
        (-0.03, -0.01, "It predicts worse than the current model"),
    ],
)
def test_better_is_said_only_when_the_whole_interval_is(
    judged: Evaluation, low: float, high: float, said: str
) -> None:
    told = sentences(gained(judged, low, high), FACTS)
    assert [one for one in told if one.startswith(said)]
    assert ("higher" in " ".join(told)) == (high < 0)


def test_the_first_sentence_says_what_was_judged(judged: Evaluation) -> None:
    first = sentences(judged, FACTS)[0].replace("\N{NO-BREAK SPACE}", " ")
    assert first.startswith(
        f"The new model was judged on 2,000 cases of {judged.all.customers} customers in 83 days, "
        "1 March 2024 to 23 May 2024."
    )
    assert 'cases "Order Completed" followed within 14 days' in first


def test_a_history_of_choices_is_no_proof_of_causes(judged: Evaluation) -> None:
    told = " ".join(caveats(judged, FACTS))
    assert "not left to chance" in told
    random = " ".join(caveats(judged, msgspec.structs.replace(FACTS, randomised=True)))
    assert "not left to chance" not in random
    assert "They do not say what a strategy causes" in random


@pytest.mark.parametrize(
    ("metric", "estimate", "value", "interval"),
    [
        ("roc_auc", Estimate(0.81412, 0.80544, 0.82309), "0.814", "0.805–0.823"),
        ("log_loss", Estimate(0.17131, 0.16, 0.18), "0.171", "0.160–0.180"),
        ("log_loss", Estimate(0.17131, None, None), "0.1713", ""),
        (
            "recall",
            Estimate(0.4712, 0.41, 0.53),
            "47\N{NO-BREAK SPACE}%",
            "41–53\N{NO-BREAK SPACE}%",
        ),
        ("lift_top_10_percent", Estimate(3.72, 3.44, 3.98), "3.7×", "3.4–4.0×"),
        ("f1", Estimate(0.5, 0.5, 0.5), "0.500", "0.500–0.500"),
    ],
)
def test_numbers_are_rounded_to_what_is_known(
    metric: str, estimate: Estimate, value: str, interval: str
) -> None:
    assert wording.value(metric, estimate) == value
    assert wording.interval(metric, estimate) == interval


def test_small_numbers_keep_two_digits_and_gains_their_sign() -> None:
    assert wording.percent(0.12345) == "12.3\N{NO-BREAK SPACE}%"
    assert wording.percent(0.000456) == "0.046\N{NO-BREAK SPACE}%"
    assert wording.percent(0) == "0.0\N{NO-BREAK SPACE}%"
    assert wording.gain("recall", Estimate(-0.031, -0.05, -0.01)) == "−3\N{NO-BREAK SPACE}pp"
    assert wording.gain("brier", Estimate(0.0012, 0.0004, 0.002)) == "+0.0012"
    assert wording.gain_interval("brier", Estimate(0.0012, 0.0004, 0.002)) == "+0.0004 to +0.0020"
    assert wording.gain("f1", Estimate(-0.00001, -0.3, 0.3)) == "0.0"
    assert wording.duration("1h") == "1 hour"


def test_the_json_stays_as_it_is() -> None:
    """Few customers, so that no interval and no generator of random numbers is in it."""
    n = 12
    outcome = np.array([1, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 0], np.bool_)
    judged = Judged(
        "response", NAMES, np.arange(n) % 3, outcome, np.arange(n) % 5,
        START_MS + np.arange(n) * 86_400_000, np.ones(n), {"early": np.arange(n) < 6},
    )  # fmt: skip
    scores = np.linspace(0.125, 0.875, n * 3).reshape(n, 3).astype(np.float32)
    found = evaluate(
        judged,
        Scored(scores, np.full(3, 0.5)),
        {CHAMPION: Scored(scores[::-1].copy(), np.full(3, 0.25))},
        EvaluationSpec(resamples=50),
        seed=0,
    )
    golden = msgspec.json.decode(GOLDEN.read_bytes())
    assert approximately(msgspec.json.decode(found.encode())) == approximately(golden)
    assert Evaluation.decode(GOLDEN.read_bytes()).encode() == msgspec.json.encode(golden)
    assert msgspec.json.encode(Estimate(0.5, 0.25, None)) == b"[0.5,0.25,null]"


def approximately(value: Any) -> Any:
    """Without the last bits, which depend on the machine."""
    if isinstance(value, float):
        return round(value, 9)
    if isinstance(value, dict):
        return {key: approximately(one) for key, one in value.items()}
    return [approximately(one) for one in value] if isinstance(value, list) else value


def test_the_templates_are_part_of_the_package() -> None:
    root = Path(__file__).parent.parent
    project = tomllib.loads((root / "pyproject.toml").read_text())
    assert "trainer" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    found = {path.name for path in (root / "trainer/evaluation/templates").iterdir()}
    assert found == {"report.html.jinja", "table.html.jinja", "style.css"}
