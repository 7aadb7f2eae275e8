"""Whether a policy that does the same to everybody becomes the champion: by money alone."""

from __future__ import annotations

from stream.campaign.training import GateSpec
from trainer.gate import checks, money_checks
from trainer.gate.gate import Verdict
from trainer.gate.money import Money

METRIC = "money per decision"


def judge_constant(
    gate: GateSpec, strategy: str, money: Money, *, champion: str | None, score_ms: float,
    score_ms_max: float,
) -> Verdict:  # fmt: skip
    """Applies the rules that a constant policy has to pass: it predicts nothing, so of money alone.

    Args:
        gate: The section of the campaign file.
        strategy: What is always done.
        money: What it earns. It was chosen on other decisions than those that judge.
        champion: Version of the champion; None for none.
        score_ms: Time that scoring 512 customers takes, milliseconds.
        score_ms_max: Of the section `model`.
    """
    found = [money_checks.earns(gate, money.over_nothing, "doing nothing")]
    difference, opponent = money.over_nothing, "doing nothing"
    if champion is not None and money.over_champion is not None:
        difference, opponent = money.over_champion, f"champion {champion}"
        found.append(money_checks.earns(gate, money.over_champion, opponent))
    found.append(checks.fast(score_ms, score_ms_max))
    return Verdict(
        promote=all(check.passed for check in found),
        champion=champion,
        opponent=opponent,
        metric=METRIC,
        value=money.value,
        difference=difference,
        rows=money.decisions,
        conversions=0,
        checks=tuple(found),
        money=money,
        constant=strategy,
    )
