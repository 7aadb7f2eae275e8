"""What a policy earns, in sentences: the first that people want to know."""

from __future__ import annotations

from stream.policy.decision import NOTHING
from trainer.gate.gate import Interval, Verdict
from trainer.report import wording


def sentences(verdict: Verdict | None) -> tuple[str, ...]:
    """What is known of the money; none without a verdict."""
    if verdict is None:
        return ()
    if verdict.broken:
        return (f"No verdict: {verdict.broken}.",)
    if verdict.money is None:
        return (
            (
                "Unproven: nothing shows whether what this model decides earns or loses money. "
                f"{verdict.unproven[:1].upper()}{verdict.unproven[1:].rstrip('.')}."
            ),
        )
    money = verdict.money
    what = f"always {verdict.constant}" if verdict.constant else "it"
    found = [
        (
            f"On {wording.whole(money.decisions)} decisions that chance had part in, and that it has not "
            f"learned from, {what} would have earned {_amount(money.over_nothing)} per decision beside doing nothing, with a contact in "
            f"{wording.percent(money.contacts)} of them."
        )
    ]
    if money.best_constant not in (NOTHING, verdict.constant):
        found.append(
            f"The best single strategy for everybody was {money.best_constant}: beside always using it, "
            f"it would have earned {_amount(money.over_best_constant)} per decision."
        )
    if money.over_champion is not None:
        found.append(
            f"Beside the current model it would have earned {_amount(money.over_champion)} per decision."
        )
    return tuple(found)


def _amount(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return f"{interval.value:+.3g}"
    return f"{interval.value:+.3g} (interval {interval.low:+.3g} to {interval.high:+.3g})"
