"""What is known of a candidate that passes the gate, with changes, and what the gate says."""

from __future__ import annotations

from typing import Any

from stream.campaign.training import GateSpec
from trainer.gate.gate import Evidence, Interval, Verdict, judge

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


def verdict(known: Evidence, score_ms_max: float = 50.0, **gate: Any) -> Verdict:
    return judge(GateSpec(**gate), known, score_ms_max=score_ms_max)


def failed(known: Evidence, score_ms_max: float = 50.0, **gate: Any) -> list[str]:
    found = verdict(known, score_ms_max, **gate)
    assert found.promote is (not found.failed)
    return [check.name for check in found.failed]
