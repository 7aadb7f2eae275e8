"""Whether there is anything to judge: checks that come before all others."""

from __future__ import annotations

from trainer.gate.checks import Check


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
