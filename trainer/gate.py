"""Whether a new model replaces the champion: figures in, a verdict in words and numbers out.

Rules of this file
1. Pure: what is judged was measured before, on held-out rows that both models scored.
2. A difference counts when its whole interval does. Too few rows give no verdict, and what is not
   known proves nothing: neither that a model is better nor that a slice is worse.
3. Every check is listed, passed or not, with what was expected and what came.
"""

from __future__ import annotations

from msgspec import Struct

from stream.campaign_training import GateSpec

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
        compared: Whether the champion scored the rows: one that eats other features cannot.
        over_champion: To the champion.
        calibration_error: Of the candidate, 0 to 1.
        champion_calibration_error: Of the champion on the same rows.
        slices: Differences to the champion.
        score_ms: Time that scoring 512 customers takes, milliseconds.
        bundle_bytes: Size of the bundle.
    """

    rows: int
    conversions: int
    value: Interval | None
    over_base_rates: Interval | None
    champion: str | None = None
    compared: bool = False
    over_champion: Interval | None = None
    calibration_error: float | None = None
    champion_calibration_error: float | None = None
    slices: tuple[SliceDifference, ...] = ()
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


class Verdict(Struct, frozen=True, kw_only=True):
    """What the gate says of a candidate.

    Attributes:
        promote: Whether it may become the champion, over `champion` and no other.
        champion: The champion when it was judged; None for none.
        opponent: What it was compared with: that champion, or `BASE_RATES`.
        metric: What in.
        value: The metric of the candidate; None when it is not defined.
        difference: To the opponent, positive when the candidate is better; None as `value`.
        rows: Held-out rows.
        conversions: Of them with the outcome.
        checks: The rules in the order in which they were applied.
    """

    promote: bool
    champion: str | None
    opponent: str
    metric: str
    value: Interval | None
    difference: Interval | None
    rows: int
    conversions: int
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that stand in the way."""
        return tuple(check for check in self.checks if not check.passed)

    @property
    def words(self) -> str:
        """The verdict in one line."""
        if self.promote:
            return (
                f"better than {self.opponent} in {self.metric} by {shown(self.difference)} "
                f"on {self.rows:,} held-out rows"
            )
        return f"not promoted: {self.reasons}"

    @property
    def reasons(self) -> str:
        """What stands in the way, with the numbers; empty when nothing does."""
        return "; ".join(
            f"{check.name}: expected {check.expected}, got {check.got}" for check in self.failed
        )


def judge(gate: GateSpec, evidence: Evidence, *, score_ms_max: float) -> Verdict:
    """Applies every rule.

    Args:
        gate: The section of the campaign file.
        evidence: What was measured.
        score_ms_max: Of the section `model`.
    """
    compared = evidence.champion is not None and evidence.compared
    difference = evidence.over_champion if compared else evidence.over_base_rates
    opponent = f"champion {evidence.champion}" if compared else BASE_RATES
    checks = [_enough(gate, evidence)]
    if evidence.champion is not None and not compared:
        checks.append(_other_features(evidence.champion))
    margin = gate.margin if compared else 0.0
    checks.append(_better(gate.metric, difference, opponent, margin))
    if compared:
        checks.append(_calibrated(gate, evidence))
        checks += [_slice(gate, part) for part in evidence.slices]
    checks.append(_fast(evidence.score_ms, score_ms_max))
    checks.append(_small(evidence.bundle_bytes, gate.bundle_mb_max))
    return Verdict(
        promote=all(check.passed for check in checks),
        champion=evidence.champion,
        opponent=opponent,
        metric=gate.metric,
        value=evidence.value,
        difference=difference,
        rows=evidence.rows,
        conversions=evidence.conversions,
        checks=tuple(checks),
    )


def shown(interval: Interval | None) -> str:
    """A difference and its interval, with signs."""
    if interval is None:
        return "not defined"
    if interval.low is None or interval.high is None:
        return f"{interval.value:+.4f}, too few customers for an interval"
    return f"{interval.value:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"


def _enough(gate: GateSpec, evidence: Evidence) -> Check:
    rows_min = gate.slice_rows_min
    passed = evidence.rows >= rows_min and evidence.conversions >= _CONVERSIONS_MIN
    return Check(
        name="enough data",
        passed=passed,
        expected=f"{rows_min} held-out rows and {_CONVERSIONS_MIN} conversions at least",
        got=f"{evidence.rows:,} rows and {evidence.conversions:,} conversions",
        why="enough to judge" if passed else "there is no verdict on so few: train on more history",
    )


def _other_features(champion: str) -> Check:
    return Check(
        name="comparable",
        passed=True,
        expected="a champion with the features of this campaign file",
        got=f"champion {champion} with others",
        why="it cannot score these rows and workers with this campaign file refuse it, so the "
        f"candidate is compared with {BASE_RATES}",
    )


def _better(metric: str, difference: Interval | None, opponent: str, margin: float) -> Check:
    passed = _above(difference, margin)
    if passed:
        why = "better beyond what chance explains"
    elif _below(difference, margin):
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


def _calibrated(gate: GateSpec, evidence: Evidence) -> Check:
    now, before = evidence.calibration_error, evidence.champion_calibration_error
    passed = now is not None and before is not None and now <= before + gate.calibration_tolerance
    return Check(
        name="calibration",
        passed=passed,
        expected=f"a calibration error at most {gate.calibration_tolerance:g} above the champion's, "
        f"{_plain(before)}",
        got=_plain(now),
        why="probabilities mean what they say"
        if passed
        else "values and costs are weighed by these probabilities",
    )


def _slice(gate: GateSpec, part: SliceDifference) -> Check:
    least = 0.0 - gate.slice_tolerance  # not -0.0
    counts, worse = part.rows >= gate.slice_rows_min, _below(part.difference, least)
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


def _plain(number: float | None) -> str:
    return "not defined" if number is None else f"{number:.4f}"


def _above(interval: Interval | None, bound: float) -> bool:
    return interval is not None and interval.low is not None and interval.low > bound


def _below(interval: Interval | None, bound: float) -> bool:
    return interval is not None and interval.high is not None and interval.high < bound


def _fast(score_ms: float, score_ms_max: float) -> Check:
    passed = score_ms <= score_ms_max
    return Check(
        name="speed",
        passed=passed,
        expected=f"{score_ms_max:g} ms at most for 512 customers",
        got=f"{score_ms:.3g} ms",
        why="workers keep up" if passed else "workers refuse a model that is so slow",
    )


def _small(bundle_bytes: int, bundle_mb_max: float) -> Check:
    passed = bundle_bytes <= 1e6 * bundle_mb_max
    return Check(
        name="size",
        passed=passed,
        expected=f"{bundle_mb_max:g} MB at most",
        got=f"{bundle_bytes / 1e6:.3g} MB",
        why="every worker loads it quickly" if passed else "every worker loads it at every change",
    )
