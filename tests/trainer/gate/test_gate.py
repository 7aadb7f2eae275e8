"""The gate: each rule alone, at its boundary, and what the verdict says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.gate.gate_evidence import (
    BETTER,
    UNSURE,
    VERSION,
    WORSE,
    evidence,
    failed,
    first,
    money,
    verdict,
)
from trainer.gate.gate import BASE_RATES, Evidence, Interval, SliceDifference, Verdict
from trainer.gate.money import Unproven


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
    ("rows", "conversions", "fails"),
    [(0, 0, True), (99, 50, True), (999, 19, True), (100, 20, False)],
)
def test_a_champion_is_not_compared_on_rows_that_it_has_seen(
    rows: int, conversions: int, fails: bool
) -> None:
    known = evidence(compared_rows=rows, compared_conversions=conversions, over_champion=WORSE)
    found = verdict(known)
    assert [check.name for check in found.failed] == (["comparable"] if fails else ["better"])
    (said,) = (check for check in found.checks if check.name == "comparable")
    assert f"the champion has seen the other {1_000 - rows:,}" in said.got
    if fails:
        assert "not comparable: the champion has seen these rows" in said.why
        assert "--until" in said.why
        assert not {"better", "calibration"} & {check.name for check in found.checks}, "no answer"
    better = verdict(msgspec.structs.replace(known, over_champion=BETTER))
    assert better.promote is not fails
    assert (better.rows, better.conversions) == (rows, conversions), "that both were judged on"


def test_too_few_rows_that_nobody_has_seen_are_too_few_and_not_seen() -> None:
    found = verdict(evidence(rows=9, conversions=9, compared_rows=9, compared_conversions=9))
    assert [check.name for check in found.failed] == ["enough data"]


@pytest.mark.parametrize(
    ("gain", "rate", "rise_max", "fails"),
    [
        (Interval(-0.004, -0.005, -0.003), 0.005, 0.1, True),  # doubled probabilities
        (Interval(-0.004, -0.005, -0.003), 0.05, 0.1, False),
        (Interval(-0.02, -0.03, -0.01), 0.2, 0.1, False),
        (Interval(-0.0201, -0.03, -0.01), 0.2, 0.1, True),
        (Interval(-0.0201, -0.05, 0.001), 0.2, 0.1, False),  # may be chance
        (Interval(-0.0001, -0.0002, -0.00005), 0.2, 0.0, True),
        (Interval(0.0, 0.0, 0.0), 0.2, 0.0, False),
        (Interval(-0.02, None, None), 0.2, 0.0, False),
        (None, 0.2, 1.0, True),
    ],
)
def test_calibration_may_not_get_worse_for_the_rate_of_what_is_predicted(
    gain: Interval | None, rate: float, rise_max: float, fails: bool
) -> None:
    known = evidence(calibration_gain=gain, outcome_rate=rate)
    assert failed(known, calibration_rise_max=rise_max) == ["calibration"] * fails
    assert failed(first(calibration_gain=gain), calibration_rise_max=rise_max) == []


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
        compared_rows=st.integers(0, 300),
        compared_conversions=st.integers(0, 60),
        over_champion=intervals,
        over_base_rates=intervals,
        value=intervals,
        calibration_error=st.none() | st.floats(0, 1),
        champion_calibration_error=st.none() | st.floats(0, 1),
        calibration_gain=intervals,
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


def test_without_proof_of_money_nobody_is_promoted() -> None:
    unproven = Unproven("chance had no part in any of 500 decisions")
    found = verdict(evidence(), earned=unproven)
    assert not found.promote
    assert [check.name for check in found.failed] == ["unproven"]
    assert found.unproven == unproven.reason
    assert "chance had no part" in found.words


def test_without_proof_it_may_be_promoted_by_choice_and_says_so() -> None:
    found = verdict(evidence(), earned=Unproven("no chance"), unproven="promote")
    assert found.promote
    assert found.words.startswith("unproven: better than champion")


@pytest.mark.parametrize(
    ("changes", "opponent"),
    [
        ({"over_best_constant": Interval(0.1, -0.1, 0.3)}, "always mail"),
        ({"over_best_constant": Interval(0.0, 0.0, 0.0), "best_constant": "nothing"}, "doing nothing"),
        ({"over_champion": Interval(-0.1, -0.2, 0.1)}, f"champion {VERSION}"),
    ],
)  # fmt: skip
def test_a_policy_has_to_earn_more_than_every_opponent(
    changes: dict[str, Any], opponent: str
) -> None:
    found = verdict(evidence(), earned=money(**changes))
    assert not found.promote
    (check,) = found.failed
    assert check.name == "money"
    assert opponent in check.expected


def test_the_margin_of_money_counts() -> None:
    assert verdict(evidence(), earned=money(), money_margin=0.05).promote
    assert not verdict(evidence(), earned=money(), money_margin=0.15).promote


def test_a_first_model_has_no_champion_to_earn_more_than() -> None:
    assert verdict(first(), earned=money(over_champion=None)).promote
