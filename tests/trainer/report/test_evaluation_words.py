"""The report: what its sentences say, how numbers are rounded, JSON that stays as it is."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from stream.campaign.training import EvaluationSpec
from tests.trainer.report.evaluation_page import FACTS, NAMES, START_MS
from trainer.evaluation.evaluate import evaluate
from trainer.evaluation.evaluation import CHAMPION, Estimate, Evaluation
from trainer.evaluation.judged import Judged, Scored
from trainer.report import wording
from trainer.report.html import render_html
from trainer.report.summary import caveats, sentences

GOLDEN = Path(__file__).parents[2] / "golden" / "evaluation.json"


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


def test_an_evaluation_from_before_bands_can_be_read() -> None:
    later = {"gain_band", "roc_band", "pr_band", "lift", "base_rates", "unseen"}
    golden = msgspec.json.decode(GOLDEN.read_bytes())
    for one in (golden, *(c for g in golden["groups"] for c in g["curves"].values())):
        for name in later & one.keys():
            del one[name]
    old = Evaluation.decode(msgspec.json.encode(golden))
    assert old.unseen is None
    assert b"<svg" in render_html(old)


def approximately(value: Any) -> Any:
    """Without the last bits, which depend on the machine."""
    if isinstance(value, float):
        return round(value, 9)
    if isinstance(value, dict):
        return {key: approximately(one) for key, one in value.items()}
    return [approximately(one) for one in value] if isinstance(value, list) else value


def test_the_templates_are_part_of_the_package() -> None:
    root = Path(__file__).parents[3]
    project = tomllib.loads((root / "pyproject.toml").read_text())
    assert "trainer" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    found = {path.name for path in (root / "trainer/report/templates").iterdir()}
    assert found == {
        "checks.html.jinja", "data.html.jinja", "head.html.jinja", "plain.html.jinja",
        "report.html.jinja", "style.css", "table.html.jinja", "earned.html.jinja", "uplift.html.jinja",
    }  # fmt: skip
