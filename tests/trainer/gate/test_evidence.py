"""What the gate takes from an evaluation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from tests.trainer.gate.gate_evidence import VERSION, failed, verdict
from trainer.evaluation.baselines import BASE_RATE
from trainer.evaluation.evaluation import CANDIDATE, CHAMPION, Estimate, Evaluation, Group, Kind
from trainer.evaluation.judged import Head
from trainer.gate.evidence import evidence as evidence_of
from trainer.gate.gate import BASE_RATES, Evidence, Interval, SliceDifference


def group(kind: Kind, name: str, rows: int, better: float) -> Group:
    """A group in which every model has a log loss, and the candidate is better by so much."""
    loss = {"log_loss": Estimate(0.4, 0.39, 0.41), "observed_rate": Estimate(0.2, 0.1, 0.3)}
    gain = {
        "log_loss": Estimate(better, better - 0.01, None if rows < 50 else better + 0.01),
        "calibration_error": Estimate(0.01, 0.0, 0.02),
    }
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
        evaluation(*groups), "log_loss", champion=VERSION, compared=True, score_ms=2.5,
        bundle_bytes=9_000,
    )  # fmt: skip
    assert known == Evidence(
        rows=1_000, conversions=200, value=Interval(0.4, 0.39, 0.41),
        over_base_rates=Interval(0.2, 0.1, 0.3), champion=VERSION, compared=True,
        compared_rows=1_000, compared_conversions=200,
        over_champion=Interval(0.05, 0.05 - 0.01, 0.05 + 0.01),
        calibration_error=0.02, champion_calibration_error=0.03,
        calibration_gain=Interval(0.01, 0.0, 0.02), outcome_rate=0.2,
        slices=(
            SliceDifference("mail", 400, Interval(0.02, 0.02 - 0.01, 0.02 + 0.01)),
            SliceDifference("new", 30, Interval(-0.2, -0.2 - 0.01, None)),
        ),
        score_ms=2.5, bundle_bytes=9_000,
    )  # fmt: skip
    assert failed(known) == []


def alone() -> Group:
    """All rows, without the champion."""
    whole = group("pooled", "all", 1_000, 0.0)
    return msgspec.structs.replace(
        whole,
        metrics={name: whole.metrics[name] for name in (CANDIDATE, BASE_RATE)},
        gains={BASE_RATE: whole.gains[BASE_RATE]},
    )


def known_of(found: Evaluation, metric: str = "log_loss", **known: Any) -> Evidence:
    given = {"champion": VERSION, "compared": False, "score_ms": 1.0, "bundle_bytes": 1, **known}
    return evidence_of(found, metric, **given)


def test_an_evaluation_without_the_champion_is_compared_with_base_rates() -> None:
    known = known_of(evaluation(alone(), head="choice"))
    assert (known.compared, known.over_champion, known.slices) == (False, None, ())
    assert known.conversions == known.rows == 1_000, "examples of a choice all have the outcome"
    assert verdict(known).opponent == BASE_RATES
    undefined = known_of(evaluation(alone()), "roc_auc", champion=None)
    assert failed(undefined, metric="roc_auc") == ["better"]


def test_of_a_champion_that_has_seen_some_rows_the_others_decide() -> None:
    part = evaluation(group("pooled", "all", 300, 0.05), group("slice", "new", 120, 0.03))
    known = known_of(msgspec.structs.replace(evaluation(alone()), unseen=part), compared=True)
    assert (known.rows, known.conversions) == (1_000, 200)
    assert (known.compared_rows, known.compared_conversions) == (300, 60)
    assert known.over_champion == Interval(0.05, 0.05 - 0.01, 0.05 + 0.01)
    assert [one.rows for one in known.slices] == [120]
    found = verdict(known)
    assert found.promote
    assert "on 300 held-out rows" in found.words
    assert failed(known_of(evaluation(alone()), compared=True)) == ["comparable"], "it has seen all"


def test_the_rate_of_a_choice_is_the_mean_over_the_strategies() -> None:
    whole = group("pooled", "all", 1_000, 0.05)
    metrics = {
        name: {key: one for key, one in found.items() if key != "observed_rate"}
        for name, found in whole.metrics.items()
    }
    found = evaluation(msgspec.structs.replace(whole, metrics=metrics), head="choice")
    four = msgspec.structs.replace(found, strategies=("a", "b", "c", "d"))
    assert known_of(four, compared=True).outcome_rate == 0.25
