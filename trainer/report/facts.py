"""What a report tells beside the evaluation: history, training, verdict. All of it may be missing."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from trainer.evaluation.offpolicy.overlap import Overlap


class Span(Struct, frozen=True):
    """A part of the examples, and its period where they have times."""

    start: datetime | None
    end: datetime | None
    rows: int
    customers: int


class Examples(Struct, frozen=True):
    """Examples of one strategy, and how many of them were followed by the outcome.

    Attributes:
        rows: Examples.
        conversions: Those that were.
        sent: Those that an engine said to have gone out; None where engines say nothing.
        sent_conversions: Those of these that were followed by the outcome.
    """

    rows: int
    conversions: int
    sent: int | None = None
    sent_conversions: int | None = None


class Check(Struct, frozen=True):
    """One condition of the gate, in words."""

    passed: bool
    text: str


class Facts(Struct, frozen=True, kw_only=True):
    """What is known.

    Attributes:
        campaign: Name of the campaign.
        candidate: Version of the new model.
        champion: Version of the current model.
        created: When the report was made.
        outcome: Event type that counts as a conversion.
        attribution_window: How long after the strategy it counts, such as "14d".
        randomised: Whether chance decided who got which strategy.
        table: Whether the examples are the rows of a table.
        events: Events of the history.
        repeated: Those that came again with the same id, which count once.
        history: Its first and last event, its examples and customers.
        periods: train, validation and test.
        joins: What became of the treatments of the history, in words.
        examples: By strategy.
        rejects: Records that are no events, by reason code.
        notices: What the history lacks, in sentences.
        caveats: What its examples cannot prove, in sentences.
        arms: Each strategy beside doing nothing, as the examples show it before any model.
        settings: How the model was made, in words.
        losses: Training loss after each pass over the examples.
        validation_losses: Validation loss after each.
        trials: Models that the search has fitted.
        importance: How much each setting mattered in the search; 1 in sum.
        passed: Whether the gate lets the model replace the current one.
        checks: What the gate looked at.
        money: What its policy earns, in sentences.
        unproven: Whether nothing shows what it earns.
        broken: Whether there is no verdict, since nothing that is compared is right.
    """

    campaign: str = ""
    candidate: str = ""
    champion: str = ""
    created: datetime | None = None
    outcome: str = ""
    attribution_window: str = ""
    randomised: bool = False
    table: bool = False
    events: int = 0
    repeated: int = 0
    history: Span | None = None
    periods: dict[str, Span] = {}
    joins: dict[str, int] = {}
    examples: dict[str, Examples] = {}
    rejects: dict[str, int] = {}
    notices: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    arms: dict[str, Overlap] = {}
    settings: dict[str, str] = {}
    losses: tuple[float, ...] = ()
    validation_losses: tuple[float, ...] = ()
    trials: int = 0
    importance: dict[str, float] = {}
    passed: bool | None = None
    checks: tuple[Check, ...] = ()
    money: tuple[str, ...] = ()
    unproven: bool = False
    broken: bool = False
