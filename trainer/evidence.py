"""What the gate asks of an evaluation, and nothing else of it."""

from __future__ import annotations

from trainer.evaluation.baselines import BASE_RATE
from trainer.evaluation.evaluation import CANDIDATE, CHAMPION, Estimate, Evaluation
from trainer.gate import Evidence, Interval, SliceDifference


def evidence(
    evaluation: Evaluation,
    metric: str,
    *,
    champion: str | None,
    score_ms: float,
    bundle_bytes: int,
) -> Evidence:
    """The figures that decide.

    Args:
        evaluation: Of the candidate beside the base rates and, if it can score the rows, the champion.
        metric: Of the gate.
        champion: Version of the champion; None when there is none.
        score_ms: Time that the candidate takes to score 512 customers, milliseconds.
        bundle_bytes: Size of its files.
    """
    compared = CHAMPION in evaluation.models
    against = evaluation.comparison(metric, CHAMPION) if compared else None
    group = evaluation.all
    metrics, before = group.metrics[CANDIDATE], group.metrics.get(CHAMPION, {})
    return Evidence(
        rows=group.rows,
        conversions=group.positives if evaluation.head == "response" else group.rows,
        value=_interval(metrics.get(metric)),
        over_base_rates=_interval(evaluation.comparison(metric, BASE_RATE).gain),
        champion=champion,
        compared=compared,
        over_champion=_interval(against.gain) if against else None,
        calibration_error=_value(metrics.get("calibration_error")),
        champion_calibration_error=_value(before.get("calibration_error")),
        slices=tuple(
            SliceDifference(part.name, part.rows, _interval(part.gain))
            for part in (against.slices if against else ())
        ),
        score_ms=score_ms,
        bundle_bytes=bundle_bytes,
    )


def _interval(estimate: Estimate | None) -> Interval | None:
    return None if estimate is None else Interval(estimate.value, estimate.low, estimate.high)


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value
