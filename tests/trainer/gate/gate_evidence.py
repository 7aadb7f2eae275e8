"""What is known of a candidate that passes the gate, with changes, and what the gate says."""

from __future__ import annotations

from typing import Any

from stream.campaign.training import GateSpec
from trainer.gate.gate import Evidence, Interval, Verdict, judge
from trainer.gate.money import Money, Unproven

VERSION = "20261124T104512Z-0a1b2c3d"
BETTER = Interval(0.02, 0.01, 0.03)
UNSURE = Interval(0.02, -0.01, 0.05)
WORSE = Interval(-0.02, -0.03, -0.01)
GATE = GateSpec()


def evidence(**changes: Any) -> Evidence:
    """Of a candidate that passes against a champion, with changes."""
    known: dict[str, Any] = {
        "rows": 1_000, "conversions": 200, "value": Interval(0.4, 0.38, 0.42),
        "over_base_rates": WORSE, "champion": VERSION, "compared": True, "compared_rows": 1_000,
        "compared_conversions": 200, "over_champion": BETTER, "calibration_error": 0.02,
        "champion_calibration_error": 0.02, "calibration_gain": Interval(0.0, -0.01, 0.01),
        "outcome_rate": 0.2,
        "score_ms": 1.0, "bundle_bytes": 20_000,
    }  # fmt: skip
    return Evidence(**{**known, **changes})


def first(**changes: Any) -> Evidence:
    """Of a candidate without a champion."""
    nobody = {"champion": None, "compared": False, "compared_rows": 0, "over_champion": None,
              "champion_calibration_error": None, "calibration_gain": None}  # fmt: skip
    return evidence(**{"over_base_rates": BETTER, **nobody, **changes})


def money(**changes: Any) -> Money:
    """Of a policy that earns more than everything else, with changes."""
    known: dict[str, Any] = {
        "decisions": 1_000, "effective": 600.0, "contacts": 0.4, "value": Interval(2.0, 1.5, 2.5),
        "over_nothing": Interval(1.0, 0.5, 1.5), "best_constant": "mail",
        "over_best_constant": Interval(0.4, 0.1, 0.7), "over_champion": Interval(0.3, 0.1, 0.5),
    }  # fmt: skip
    return Money(**{**known, **changes})


def verdict(
    known: Evidence, score_ms_max: float = 50.0, earned: Money | Unproven | None = None, **gate: Any
) -> Verdict:
    found = money() if earned is None else earned
    return judge(GateSpec(**gate), known, found, score_ms_max=score_ms_max)


def failed(known: Evidence, score_ms_max: float = 50.0, **gate: Any) -> list[str]:
    found = verdict(known, score_ms_max, **gate)
    assert found.promote is (not found.failed)
    return [check.name for check in found.failed]
