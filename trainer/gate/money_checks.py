"""The rules of the gate about money: whether it can be known, and whether it is more."""

from __future__ import annotations

from stream.campaign.training import GateSpec
from trainer.gate.checks import Check, Interval, above, below, shown


def sound(broken: str) -> Check:
    """That of a comparison which is none: nothing that follows is to be believed."""
    return Check(
        name="sample ratio",
        passed=False,
        expected="each strategy as often as the logged probabilities say",
        got=broken,
        why="there is no verdict on such data: find the cause first",
    )


def claims(no_claim: str) -> Check:
    """Examples from which a model can say what a strategy brings at all."""
    return Check(
        name="evidence",
        passed=not no_claim,
        expected="enough examples of doing nothing, and of a strategy beside it (training.examples_min)",
        got=no_claim or "both",
        why="what a model says beyond its examples is no claim: its policy chooses no strategy"
        if no_claim
        else "there is something to claim",
    )


def proven(gate: GateSpec, reason: str) -> Check:
    """Shown to earn money at all: without decisions that chance had part in nothing shows it."""
    passed = gate.unproven == "promote"
    return Check(
        name="unproven",
        passed=passed,
        expected="decisions that show what its policy would have earned",
        got=reason,
        why='gate.unproven = "promote": promoted all the same, for what it predicts'
        if passed
        else "nobody knows whether it earns or loses money. Promote it with --force, or set "
        'gate.unproven = "promote", if it is to decide all the same',
    )


def earns(gate: GateSpec, over: Interval, opponent: str, instead: str = "") -> Check:
    """Earns more than an opponent.

    Args:
        gate: The section of the campaign file.
        over: Paired difference to it.
        opponent: Its name.
        instead: What to do when it does not.
    """
    passed = above(over, gate.money_margin)
    if passed:
        why = "earns more, beyond what chance explains"
    elif below(over, gate.money_margin):
        why = "earns less, or not more enough, beyond what chance explains"
    else:
        why = "the difference may be chance"
    if instead and not passed:
        why = f"{why}: {instead}"
    return Check(
        name="money",
        passed=passed,
        expected=f"more money per decision than {opponent}, the whole interval above "
        f"{gate.money_margin:g}",
        got=shown(over),
        why=why,
    )
