"""The rules of the gate, each a check with what was expected, what came and what that means.

Rules of this file
1. A difference counts when its whole interval does. Too few rows give no verdict, and what is not
   known proves nothing: neither that a model is better nor that a slice is worse.
"""

from __future__ import annotations

from msgspec import Struct

from stream.campaign.training import GateSpec

BASE_RATES = "base rates"
"""The opponent when there is no champion to compare with: a model without features."""

_CONVERSIONS_MIN = 20  # resampled intervals of fewer events are too narrow to decide by


class Interval(Struct, frozen=True):
    """A number and the interval around it that resampling the customers gave.

    Attributes:
        value: The number.
        low: Lower end; None when there were too few customers for an interval.
        high: Upper end; as `low`.
    """

    value: float
    low: float | None
    high: float | None


class SliceDifference(Struct, frozen=True):
    """How a part of the held-out rows was scored.

    Attributes:
        name: Of the slice.
        rows: Held-out rows in it.
        difference: As `Evidence.over_champion`, of these rows.
    """

    name: str
    rows: int
    difference: Interval | None


class Evidence(Struct, frozen=True, kw_only=True):
    """What is known about a candidate.

    Differences are paired, in the metric of the gate, and positive when the candidate is better.
    What the rows do not define is None, such as a rank among customers who all converted.

    Attributes:
        rows: Held-out rows.
        conversions: Of them with the outcome; those of a choice head all have it.
        value: The metric of the candidate.
        over_base_rates: To a model that knows the rates of the training rows and no features.
        champion: Version of the champion; None when there is none.
        compared: Whether the champion can score the rows: one that eats other features cannot.
        compared_rows: Held-out rows that the champion has not seen either. All that follows about
            the champion is of these.
        compared_conversions: Of them with the outcome, as `conversions`.
        over_champion: To the champion.
        calibration_error: Of the candidate, 0 to 1.
        champion_calibration_error: Of the champion.
        calibration_gain: By how much the candidate's is lower.
        outcome_rate: Mean of what the probabilities are of, 0 to 1.
        slices: Differences to the champion.
        no_claim: Why the candidate can say of no strategy what it brings; empty when it can of one.
        score_ms: Time that scoring 512 customers takes, milliseconds.
        bundle_bytes: Size of the bundle.
    """

    rows: int
    conversions: int
    value: Interval | None
    over_base_rates: Interval | None
    champion: str | None = None
    compared: bool = False
    compared_rows: int = 0
    compared_conversions: int = 0
    over_champion: Interval | None = None
    calibration_error: float | None = None
    champion_calibration_error: float | None = None
    calibration_gain: Interval | None = None
    outcome_rate: float = 0.0
    slices: tuple[SliceDifference, ...] = ()
    no_claim: str = ""
    score_ms: float
    bundle_bytes: int


class Check(Struct, frozen=True, kw_only=True):
    """One rule of the gate.

    Attributes:
        name: Of the rule.
        passed: Whether it holds.
        expected: What it asks for.
        got: What came.
        why: What that means.
    """

    name: str
    passed: bool
    expected: str
    got: str
    why: str


def shown(interval: Interval | None) -> str:
    """A difference and its interval, with signs."""
    if interval is None:
        return "not defined"
    if interval.low is None or interval.high is None:
        return f"{interval.value:+.4f}, too few customers for an interval"
    return f"{interval.value:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"


def enough(gate: GateSpec, evidence: Evidence) -> Check:
    """Enough held-out rows for a verdict at all."""
    passed = _suffice(gate, evidence.rows, evidence.conversions)
    return Check(
        name="enough data",
        passed=passed,
        expected=f"{gate.slice_rows_min} held-out rows and {_CONVERSIONS_MIN} conversions at least",
        got=_size(evidence.rows, evidence.conversions),
        why="enough to judge" if passed else "there is no verdict on so few: train on more history",
    )


def comparable(gate: GateSpec, evidence: Evidence, opponent: str) -> Check:
    """Enough of them that the champion has not seen: on its own training rows it looks good."""
    rows, seen = evidence.compared_rows, evidence.rows - evidence.compared_rows
    passed = seen == 0 or _suffice(gate, rows, evidence.compared_conversions)
    got = _size(rows, evidence.compared_conversions)
    if seen:
        got += f"; the champion has seen the other {seen:,}, or their outcomes"
    return Check(
        name="comparable",
        passed=passed,
        expected=f"{gate.slice_rows_min} held-out rows and {_CONVERSIONS_MIN} conversions at least "
        f"from one attribution window or more after what {opponent} was fitted on",
        got=got,
        why="compared on rows that neither has seen"
        if passed
        else "not comparable: the champion has seen these rows. Train again when the history reaches "
        "further beyond what it was fitted on (a later --until, or none), or promote with --force",
    )


def other_features(champion: str) -> Check:
    """What is said of a champion that cannot score the rows."""
    return Check(
        name="comparable",
        passed=True,
        expected="a champion with the features of this campaign file",
        got=f"champion {champion} with others",
        why="it cannot score these rows and workers with this campaign file refuse it, so the "
        f"candidate is compared with {BASE_RATES}",
    )


def better(metric: str, difference: Interval | None, opponent: str, margin: float) -> Check:
    """Better than the opponent."""
    passed = above(difference, margin)
    if passed:
        why = "better beyond what chance explains"
    elif below(difference, margin):
        why = "worse, or not better enough, beyond what chance explains"
    else:
        why = "the difference may be chance"
    return Check(
        name="better",
        passed=passed,
        expected=f"{metric} better than that of {opponent}, the whole interval above {margin:g}",
        got=shown(difference),
        why=why,
    )


def calibrated(gate: GateSpec, evidence: Evidence) -> Check:
    """Probabilities that are as right as the champion's, for the rate of what they predict."""
    most = gate.calibration_rise_max * evidence.outcome_rate
    gain, before = evidence.calibration_gain, evidence.champion_calibration_error
    worse = gain is None or (below(gain, 0.0) and gain.value < 0.0 - most)
    return Check(
        name="calibration",
        passed=not worse,
        expected=f"a calibration error not above the champion's, {_plain(before)}, by more than "
        f"{gate.calibration_rise_max:g} of the mean outcome rate, {_plain(evidence.outcome_rate)}, "
        "and beyond what chance explains",
        got=f"{_plain(evidence.calibration_error)}, a gain of {shown(gain)}",
        why="values and costs are weighed by these probabilities"
        if worse
        else "probabilities mean what they say",
    )


def not_worse(gate: GateSpec, part: SliceDifference) -> Check:
    """Not worse than the champion in one slice."""
    least = 0.0 - gate.slice_tolerance  # not -0.0
    counts, worse = part.rows >= gate.slice_rows_min, below(part.difference, least)
    if not counts:
        why = f"fewer than {gate.slice_rows_min} rows decide nothing"
    elif worse:
        why = "these customers would be served worse"
    else:
        why = "not worse beyond what chance explains"
    return Check(
        name=f"slice {part.name}",
        passed=not (counts and worse),
        expected=f"{gate.metric} not worse, the interval not wholly below {least:g}",
        got=f"{shown(part.difference)} on {part.rows:,} rows",
        why=why,
    )


def fast(score_ms: float, score_ms_max: float) -> Check:
    """Quick enough for workers."""
    passed = score_ms <= score_ms_max
    return Check(
        name="speed",
        passed=passed,
        expected=f"{score_ms_max:g} ms at most for 512 customers",
        got=f"{score_ms:.3g} ms",
        why="workers keep up" if passed else "workers refuse a model that is so slow",
    )


def small(bundle_bytes: int, bundle_mb_max: float) -> Check:
    """Small enough for workers."""
    passed = bundle_bytes <= 1e6 * bundle_mb_max
    return Check(
        name="size",
        passed=passed,
        expected=f"{bundle_mb_max:g} MB at most",
        got=f"{bundle_bytes / 1e6:.3g} MB",
        why="every worker loads it quickly" if passed else "every worker loads it at every change",
    )


def _suffice(gate: GateSpec, rows: int, conversions: int) -> bool:
    return rows >= gate.slice_rows_min and conversions >= _CONVERSIONS_MIN


def _size(rows: int, conversions: int) -> str:
    return f"{rows:,} rows and {conversions:,} conversions"


def _plain(number: float | None) -> str:
    return "not defined" if number is None else f"{number:.4f}"


def above(interval: Interval | None, bound: float) -> bool:
    """Whether the whole interval is above."""
    return interval is not None and interval.low is not None and interval.low > bound


def below(interval: Interval | None, bound: float) -> bool:
    """Whether the whole interval is below."""
    return interval is not None and interval.high is not None and interval.high < bound
