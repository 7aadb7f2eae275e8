"""The gate: each rule alone, at its boundary, and what the verdict says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.campaign_training import GateSpec
from trainer.evaluation.baselines import BASE_RATE
from trainer.evaluation.evaluation import (
    CANDIDATE,
    CHAMPION,
    Estimate,
    Evaluation,
    Group,
    Kind,
)
from trainer.evaluation.judged import Head
from trainer.evidence import evidence as evidence_of
from trainer.gate import (
    BASE_RATES,
    Evidence,
    Interval,
    SliceDifference,
    Verdict,
    judge,
)

VERSION = "20261124T104512Z-0a1b2c3d"
BETTER = Interval(0.02, 0.01, 0.03)
UNSURE = Interval(0.02, -0.01, 0.05)
WORSE = Interval(-0.02, -0.03, -0.01)
GATE = GateSpec()


def evidence(**changes: Any) -> Evidence:
    """Of a candidate that passes against a champion, with changes."""
    known: dict[str, Any] = {
        "rows": 1_000, "conversions": 200, "value": Interval(0.4, 0.38, 0.42),
        "over_base_rates": WORSE, "champion": VERSION, "compared": True, "over_champion": BETTER,
        "calibration_error": 0.02, "champion_calibration_error": 0.02,
        "score_ms": 1.0, "bundle_bytes": 20_000,
    }  # fmt: skip
    return Evidence(**{**known, **changes})


def first(**changes: Any) -> Evidence:
    """Of a candidate without a champion."""
    nobody = {"champion": None, "compared": False, "over_champion": None,
              "champion_calibration_error": None}  # fmt: skip
    return evidence(**{"over_base_rates": BETTER, **nobody, **changes})


def verdict(known: Evidence, score_ms_max: float = 50.0, **gate: Any) -> Verdict:
    return judge(GateSpec(**gate), known, score_ms_max=score_ms_max)


def failed(known: Evidence, score_ms_max: float = 50.0, **gate: Any) -> list[str]:
    found = verdict(known, score_ms_max, **gate)
    assert found.promote is (not found.failed)
    return [check.name for check in found.failed]


def test_a_better_model_replaces_the_champion_it_was_compared_with() -> None:
    found = verdict(evidence())
    assert found.promote
    assert (found.champion, found.opponent) == (VERSION, f"champion {VERSION}")
    assert found.difference == BETTER, "to the champion, not to the base rates"
    assert found.words == (
        f"better than champion {VERSION} in log_loss by +0.0200 [+0.0100, +0.0300] "
        "on 1,000 held-out rows"
    )


@pytest.mark.parametrize(
    ("difference", "why"),
    [(UNSURE, "chance"), (WORSE, "worse"), (Interval(0.1, 0.0, 0.2), "chance"),
     (Interval(0.1, None, None), "chance"), (None, "chance")],
)  # fmt: skip
def test_a_difference_counts_when_its_whole_interval_does(
    difference: Interval | None, why: str
) -> None:
    found = verdict(evidence(over_champion=difference))
    assert [check.name for check in found.failed] == ["better"]
    assert why in found.failed[0].why
    assert failed(first(over_base_rates=difference)) == ["better"]


def test_the_margin_is_for_the_champion() -> None:
    assert failed(evidence(), margin=0.01) == ["better"]
    assert failed(evidence(), margin=0.0099) == []
    assert failed(first(), margin=0.5) == [], "no model is no alternative"


def test_the_first_champion_has_to_beat_a_model_without_features() -> None:
    found = verdict(first())
    assert found.promote
    assert (found.champion, found.opponent) == (None, BASE_RATES)
    assert found.difference == BETTER


def test_a_champion_with_other_features_is_not_compared_with_and_that_is_said() -> None:
    known = evidence(compared=False, over_champion=None, over_base_rates=BETTER)
    found = verdict(known)
    assert found.promote
    assert (found.champion, found.opponent) == (VERSION, BASE_RATES), (
        "promoted over it all the same"
    )
    (said,) = (check for check in found.checks if check.name == "comparable")
    assert VERSION in said.got
    assert BASE_RATES in said.why
    assert failed(msgspec.structs.replace(known, over_base_rates=UNSURE)) == ["better"]


@pytest.mark.parametrize(("rows", "conversions"), [(99, 50), (1_000, 19), (0, 0)])
def test_few_rows_give_no_verdict(rows: int, conversions: int) -> None:
    found = verdict(evidence(rows=rows, conversions=conversions))
    assert [check.name for check in found.failed] == ["enough data"]
    assert f"{rows:,} rows and {conversions} conversions" in found.words
    assert "no verdict" in found.failed[0].why
    assert failed(evidence(rows=100, conversions=20)) == []


@pytest.mark.parametrize(
    ("now", "tolerance", "fails"),
    [(0.03, 0.01, False), (0.0301, 0.01, True), (0.02, 0.0, False), (0.0201, 0.0, True),
     (0.0, 0.0, False), (None, 1.0, True)],
)  # fmt: skip
def test_calibration_may_not_get_worse(now: float | None, tolerance: float, fails: bool) -> None:
    found = failed(evidence(calibration_error=now), calibration_tolerance=tolerance)
    assert found == ["calibration"] * fails
    assert failed(first(calibration_error=now), calibration_tolerance=tolerance) == []


@pytest.mark.parametrize(
    ("rows", "difference", "tolerance", "fails"),
    [
        (100, WORSE, 0.0, True),
        (99, WORSE, 0.0, False),
        (100, UNSURE, 0.0, False),
        (100, WORSE, 0.01, False),
        (100, WORSE, 0.0099, True),
        (100, Interval(-0.02, -0.04, 0.0), 0.0, False),
        (100, Interval(-0.1, None, None), 0.0, False),
        (100, None, 0.0, False),
    ],
)
def test_no_slice_may_get_worse_for_sure(
    rows: int, difference: Interval | None, tolerance: float, fails: bool
) -> None:
    slices = (SliceDifference("all", 900, BETTER), SliceDifference("new", rows, difference))
    found = verdict(evidence(slices=slices), slice_tolerance=tolerance)
    assert [check.name for check in found.failed] == ["slice new"] * fails
    assert {"slice all", "slice new"} <= {check.name for check in found.checks}, "small ones show"


def test_a_model_must_be_quick_and_small() -> None:
    assert failed(evidence(score_ms=50.0, bundle_bytes=50_000_000)) == []
    assert failed(evidence(score_ms=50.1)) == ["speed"]
    assert failed(evidence(score_ms=2.0), score_ms_max=1.0) == ["speed"]
    assert failed(first(bundle_bytes=50_000_001)) == ["size"]
    assert failed(evidence(bundle_bytes=1_500_000), bundle_mb_max=1.0) == ["size"]


def test_every_reason_is_in_the_words() -> None:
    found = verdict(evidence(over_champion=WORSE, score_ms=99.0))
    assert found.words == (
        f"not promoted: better: expected log_loss better than that of champion {VERSION}, the whole "
        "interval above 0, got -0.0200 [-0.0300, -0.0100]; speed: expected 50 ms at most for 512 "
        "customers, got 99 ms"
    )


numbers = st.floats(-1, 1)
intervals = st.none() | st.builds(Interval, numbers, st.none() | numbers, st.none() | numbers)


@given(
    st.builds(
        evidence,
        rows=st.integers(0, 300),
        conversions=st.integers(0, 60),
        champion=st.sampled_from([None, VERSION]),
        compared=st.booleans(),
        over_champion=intervals,
        over_base_rates=intervals,
        value=intervals,
        calibration_error=st.none() | st.floats(0, 1),
        champion_calibration_error=st.none() | st.floats(0, 1),
        slices=st.lists(
            st.builds(SliceDifference, st.just("s"), st.integers(0, 300), intervals),
            max_size=3,
        ).map(tuple),
        score_ms=st.floats(0, 100),
    )
)  # fmt: skip
def test_a_verdict_is_json_and_promotes_when_every_check_passes(known: Evidence) -> None:
    found = verdict(known)
    assert found.promote == all(check.passed for check in found.checks)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Verdict) == found
    assert all(check.expected and check.got and check.why for check in found.checks)
    assert found.words.startswith("better than" if found.promote else "not promoted: ")


# --- what the gate takes from an evaluation


def group(kind: Kind, name: str, rows: int, better: float) -> Group:
    """A group in which every model has a log loss, and the candidate is better by so much."""
    loss = {"log_loss": Estimate(0.4, 0.39, 0.41)}
    gain = {"log_loss": Estimate(better, better - 0.01, None if rows < 50 else better + 0.01)}
    return Group(
        kind=kind, name=name, rows=rows, customers=rows, positives=rows // 5,
        metrics={
            CANDIDATE: {**loss, "calibration_error": Estimate(0.02, None, None)},
            BASE_RATE: loss,
            CHAMPION: {**loss, "calibration_error": Estimate(0.03, None, None)},
        },
        gains={BASE_RATE: {"log_loss": Estimate(0.2, 0.1, 0.3)}, CHAMPION: gain},
    )  # fmt: skip


def evaluation(*groups: Group, head: Head = "response") -> Evaluation:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    return Evaluation(
        head=head, strategies=("mail",), start=now, end=now, resamples=500, confidence=0.95,
        seed=0, thresholds={}, groups=groups,
    )  # fmt: skip


def test_what_decides_comes_from_the_evaluation() -> None:
    groups = [group("pooled", "all", 1_000, 0.05), group("strategy", "mail", 400, 0.02),
              group("slice", "new", 30, -0.2), group("macro", "macro", 1_000, -9.0)]  # fmt: skip
    known = evidence_of(
        evaluation(*groups), "log_loss", champion=VERSION, score_ms=2.5, bundle_bytes=9_000
    )
    assert known == Evidence(
        rows=1_000, conversions=200, value=Interval(0.4, 0.39, 0.41),
        over_base_rates=Interval(0.2, 0.1, 0.3), champion=VERSION, compared=True,
        over_champion=Interval(0.05, 0.05 - 0.01, 0.05 + 0.01),
        calibration_error=0.02, champion_calibration_error=0.03,
        slices=(
            SliceDifference("mail", 400, Interval(0.02, 0.02 - 0.01, 0.02 + 0.01)),
            SliceDifference("new", 30, Interval(-0.2, -0.2 - 0.01, None)),
        ),
        score_ms=2.5, bundle_bytes=9_000,
    )  # fmt: skip
    assert failed(known) == []


def test_an_evaluation_without_the_champion_is_compared_with_base_rates() -> None:
    whole = group("pooled", "all", 1_000, 0.0)
    alone = msgspec.structs.replace(
        whole,
        metrics={name: whole.metrics[name] for name in (CANDIDATE, BASE_RATE)},
        gains={BASE_RATE: whole.gains[BASE_RATE]},
    )
    known = evidence_of(
        evaluation(alone, head="choice"), "log_loss", champion=VERSION, score_ms=1, bundle_bytes=1
    )
    assert (known.compared, known.over_champion, known.slices) == (False, None, ())
    assert known.conversions == known.rows == 1_000, "examples of a choice all have the outcome"
    assert verdict(known).opponent == BASE_RATES
    undefined = evidence_of(evaluation(alone), "roc_auc", champion=None, score_ms=1, bundle_bytes=1)
    assert failed(undefined, metric="roc_auc") == ["better"]
