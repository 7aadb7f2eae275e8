"""What the gate asks of an evaluation, and nothing else of it."""

from __future__ import annotations

from msgspec.structs import replace

from trainer.evaluation.baselines import BASE_RATE
from trainer.evaluation.evaluation import CANDIDATE, CHAMPION, Estimate, Evaluation
from trainer.gate.gate import Evidence, Interval, SliceDifference


def evidence(
    evaluation: Evaluation,
    metric: str,
    *,
    champion: str | None,
    compared: bool,
    score_ms: float,
    bundle_bytes: int,
    no_claim: str = "",
) -> Evidence:
    """The figures that decide.

    Args:
        evaluation: Of the candidate beside the base rates and, if it can score the rows and has not
            seen all of them, the champion.
        metric: Of the gate.
        champion: Version of the champion; None when there is none.
        compared: Whether it can score the rows.
        score_ms: Time that the candidate takes to score 512 customers, milliseconds.
        bundle_bytes: Size of its files.
        no_claim: Why it can say of no strategy what it brings; empty when it can of one.
    """
    group = evaluation.all
    known = Evidence(
        rows=group.rows,
        conversions=_conversions(evaluation),
        value=_interval(group.metrics[CANDIDATE].get(metric)),
        over_base_rates=_interval(group.gains[BASE_RATE].get(metric)),
        champion=champion,
        compared=compared,
        score_ms=score_ms,
        bundle_bytes=bundle_bytes,
        no_claim=no_claim,
    )
    beside = evaluation.beside_champion
    if beside is None:
        return known
    group = beside.all
    return replace(
        known,
        compared_rows=group.rows,
        compared_conversions=_conversions(beside),
        over_champion=_interval(group.gains[CHAMPION].get(metric)),
        calibration_error=_value(group.metrics[CANDIDATE].get("calibration_error")),
        champion_calibration_error=_value(group.metrics[CHAMPION].get("calibration_error")),
        calibration_gain=_interval(group.gains[CHAMPION].get("calibration_error")),
        outcome_rate=_outcome_rate(beside),
        slices=tuple(
            SliceDifference(part.name, part.rows, _interval(part.gains[CHAMPION][metric]))
            for part in beside.parts
            if metric in part.gains[CHAMPION]
        ),
    )


def _conversions(evaluation: Evaluation) -> int:
    group = evaluation.all
    return group.positives if evaluation.head == "response" else group.rows


def _outcome_rate(evaluation: Evaluation) -> float:
    """Mean of what the probabilities are of: of a choice each strategy's share, 1 in sum."""
    rate = evaluation.all.metrics[CANDIDATE].get("observed_rate")
    return 1 / len(evaluation.strategies) if rate is None else rate.value


def _interval(estimate: Estimate | None) -> Interval | None:
    return None if estimate is None else Interval(estimate.value, estimate.low, estimate.high)


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value
