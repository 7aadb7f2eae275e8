"""Whether a new model replaces the champion: figures in, a verdict in words and numbers out.

Rules of this file
1. Pure: what is judged was measured before, on held-out rows that both models have not seen.
2. Every check of `trainer.gate.checks` is listed, passed or not, with what was expected and what came.
"""

from __future__ import annotations

from msgspec import Struct

from stream.campaign.training import GateSpec
from stream.policy.decision import NOTHING
from trainer.gate import checks, money_checks
from trainer.gate.checks import BASE_RATES, Check, Evidence, Interval, SliceDifference, shown
from trainer.gate.money import Money, Unproven

__all__ = ["BASE_RATES", "Check", "Evidence", "Interval", "SliceDifference", "Verdict", "judge"]


class Verdict(Struct, frozen=True, kw_only=True):
    """What the gate says of a candidate.

    Attributes:
        promote: Whether it may become the champion, over `champion` and no other.
        champion: The champion when it was judged; None for none.
        opponent: What it was compared with: that champion, or `BASE_RATES`.
        metric: What in.
        value: The metric of the candidate; None when it is not defined.
        difference: To the opponent, positive when the candidate is better; None as `value`.
        rows: Held-out rows that both were judged on.
        conversions: Of them with the outcome.
        checks: The rules in the order in which they were applied.
        money: What its policy earns; None when that is not known.
        unproven: Why it is not known; empty when it is.
        broken: Why there is no verdict at all; empty when there is one.
        constant: The strategy that it always takes; empty of a model that looks at customers.
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
    money: Money | None = None
    unproven: str = ""
    broken: str = ""
    constant: str = ""

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that stand in the way."""
        return tuple(check for check in self.checks if not check.passed)

    @property
    def words(self) -> str:
        """The verdict in one line."""
        if self.promote:
            return (
                self._what
                + self._doubt
                + (
                    f"better than {self.opponent} in {self.metric} by {shown(self.difference)} "
                    f"on {self.rows:,} held-out rows"
                )
            )
        if self.broken:
            return f"no verdict: {self.broken}"
        return f"{self._what}not promoted: {self.reasons}"

    @property
    def _what(self) -> str:
        return f"always {self.constant}: " if self.constant else ""

    @property
    def _doubt(self) -> str:
        return "unproven: " if self.unproven else ""

    @property
    def reasons(self) -> str:
        """What stands in the way, with the numbers; empty when nothing does."""
        return "; ".join(
            f"{check.name}: expected {check.expected}, got {check.got}" for check in self.failed
        )


def judge(
    gate: GateSpec, evidence: Evidence, money: Money | Unproven, *, score_ms_max: float,
    broken: str = "",
) -> Verdict:  # fmt: skip
    """Applies every rule.

    Args:
        gate: The section of the campaign file.
        evidence: What was measured.
        money: What the policy earns, or why that is not known.
        score_ms_max: Of the section `model`.
        broken: Why nothing that is compared is right; empty for nothing.
    """
    compared = evidence.champion is not None and evidence.compared
    opponent = f"champion {evidence.champion}" if compared else BASE_RATES
    found = [money_checks.sound(broken)] if broken else []
    if evidence.no_claim:
        found.append(money_checks.claims(evidence.no_claim))
    found.append(checks.enough(gate, evidence))
    if compared:
        found += _against_champion(gate, evidence, opponent)
    else:
        if evidence.champion is not None:
            found.append(checks.other_features(evidence.champion))
        found.append(checks.better(gate.metric, evidence.over_base_rates, BASE_RATES, 0.0))
    if not broken:
        found += _of_money(gate, money, evidence.champion if compared else None)
    found.append(checks.fast(evidence.score_ms, score_ms_max))
    found.append(checks.small(evidence.bundle_bytes, gate.bundle_mb_max))
    return Verdict(
        promote=all(check.passed for check in found),
        champion=evidence.champion,
        opponent=opponent,
        metric=gate.metric,
        value=evidence.value,
        difference=evidence.over_champion if compared else evidence.over_base_rates,
        rows=evidence.compared_rows if compared else evidence.rows,
        conversions=evidence.compared_conversions if compared else evidence.conversions,
        checks=tuple(found),
        money=money if isinstance(money, Money) and not broken else None,
        unproven=money.reason if isinstance(money, Unproven) and not broken else "",
        broken=broken,
    )


def _of_money(gate: GateSpec, money: Money | Unproven, champion: str | None) -> list[Check]:
    """More than the best constant, more than the champion; or unproven."""
    if isinstance(money, Unproven):
        return [money_checks.proven(gate, money.reason)]
    best, instead = "doing nothing", "leave customers alone, or look for strategies that move them"
    if money.best_constant != NOTHING:
        best = f"always {money.best_constant}"
        instead = f"{best} is simpler, and is judged in its place"
    found = [money_checks.earns(gate, money.over_best_constant, best, instead)]
    if champion is not None and money.over_champion is not None:
        found.append(money_checks.earns(gate, money.over_champion, f"champion {champion}"))
    return found


def _against_champion(gate: GateSpec, evidence: Evidence, opponent: str) -> list[Check]:
    """What is asked of a candidate beside a champion; on rows that it has seen nothing is."""
    comparable = checks.comparable(gate, evidence, opponent)
    if not comparable.passed:
        return [comparable]
    return [
        comparable,
        checks.better(gate.metric, evidence.over_champion, opponent, gate.margin),
        checks.calibrated(gate, evidence),
        *(checks.not_worse(gate, part) for part in evidence.slices),
    ]
