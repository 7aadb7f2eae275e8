"""The stages of the funnel in their order: what each drops, in a sentence, and the codes that say so.

This is the one table of them: decisions publish its names, `opportune check` and docs/decisions.md show it.
"""

from __future__ import annotations

from typing import NamedTuple

from stream.policy.decision import Dropped


class Stage(NamedTuple):
    """One stage.

    Attributes:
        name: As decisions call it.
        drops: What it drops, a sentence without its stop.
        codes: Its reasons.
    """

    name: str
    drops: str
    codes: tuple[Dropped, ...]


STAGES = (
    Stage("campaign", "what the campaign file has turned off", (Dropped.DISABLED,)),
    Stage("pause", "what an operator has paused", (Dropped.PAUSED,)),
    Stage(
        "consent",
        "what the customer has not consented to, and channels that a suppression closes",
        (Dropped.NO_CONSENT, Dropped.SUPPRESSED),
    ),
    Stage("eligibility", "what the customer does not meet the conditions of", (Dropped.NOT_ELIGIBLE,)),
    Stage("holdout", "what a hold-out keeps from the customer", (Dropped.HOLDOUT,)),
    Stage(
        "quiet_hours",
        "what would go out in the customer's quiet hours, or be held beyond its expiry",
        (Dropped.QUIET_HOURS, Dropped.HELD_PAST_EXPIRY),
    ),
    Stage(
        "contacts",
        "what open decisions, cool-downs, exclusive groups and caps stop",
        (
            Dropped.OPEN_DECISION, Dropped.COOL_DOWN, Dropped.ANSWERED, Dropped.EXCLUDED,
            Dropped.CAPPED,
        ),
    ),
    Stage("budget", "what a budget cannot pay any more", (Dropped.BUDGET,)),
    Stage(
        "arbitration",
        "all but the best: the highest priority first, then the largest value",
        (
            Dropped.NO_MODEL, Dropped.NOT_IN_MODEL, Dropped.UNTRAINED, Dropped.SCORE_NOT_FINITE,
            Dropped.LOWER_PRIORITY, Dropped.LOWER_VALUE,
        ),
    ),
    Stage("exploration", "the best, where chance takes another", (Dropped.NOT_DRAWN,)),
)  # fmt: skip


def stage_of(code: Dropped) -> str:
    """Name of the stage that a code is of."""
    return next(stage.name for stage in STAGES if code in stage.codes)
