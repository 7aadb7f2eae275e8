"""Without evidence there is no claim: not of what nothing brings, nor of what stands beside nobody."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from stream.campaign.file import Campaign, parse
from stream.policy.decision import NOTHING
from tests.trainer.examples.dataset_harness import part_of
from tests.trainer.gate.gate_evidence import evidence, failed
from tests.trainer.shop_history import CAMPAIGN, DAY_MS, START_MS, Event, Memory, chunks
from trainer.examples.labels import Examples
from trainer.examples.notices.example_notices import few_of, left_alone_beside, never_chosen
from trainer.examples.part import Part
from trainer.train import Trained, prepare, train

NAMES = ("mail", "call", NOTHING)
FAST = "[evaluation]\nresamples = 50\n[gate]\nslice_rows_min = 50\nunproven = 'promote'\n"


def taught(*strategy: int) -> Part:
    return part_of(np.zeros((len(strategy), 1)), strategy)


def test_what_has_too_few_examples_is_not_chosen(campaign: Campaign) -> None:
    few = few_of(NAMES, taught(*[0] * 30, *[1] * 5, *[2] * 30), 20, ())
    assert (few.untrained(NAMES), few.no_claim(NAMES)) == (("call",), "")
    (told,) = never_chosen(campaign, few)
    assert "got 5 of call: the policy does not choose these" in told
    assert never_chosen(campaign, few_of(NAMES, taught(0, 1, 2), 1, ())) == ()


def test_without_examples_of_nothing_no_strategy_is_chosen(campaign: Campaign) -> None:
    few = few_of(NAMES, taught(*[0] * 30, *[1] * 30, *[2] * 5), 20, ())
    assert few.untrained(NAMES) == ("mail", "call")
    assert few.no_claim(NAMES) == "5 examples of doing nothing to learn from"
    (told,) = never_chosen(campaign, few)
    assert told.startswith("expected 20 examples or more of doing nothing to learn from")
    # A choice knows nothing of nothing.
    choice = few_of(NAMES[:2], taught(*[0] * 30, *[1] * 30), 20, ())
    assert (choice.untrained(NAMES[:2]), choice.no_claim(NAMES[:2])) == ((), "")


def test_the_same_example_of_nothing_again_is_no_evidence() -> None:
    part = taught(*[0] * 30, *[1] * 30, *[2] * 30)
    again = replace(part, rows=np.where(part.strategy == 2, 61, part.rows))
    assert few_of(NAMES, again, 20, ()).nothing == 1


def test_a_strategy_beside_which_nobody_was_left_alone_is_not_chosen(campaign: Campaign) -> None:
    n = 90
    strategy = np.repeat([0, 1, 2], 30)
    beside = np.where(strategy == 2, 0, -1)
    column = np.zeros(n)
    examples = Examples(
        np.arange(n),
        strategy,
        column,
        column > 0,
        np.arange(n),
        beside,
        np.arange(n),
        column > 0,
        column > 0,
    )
    alone = left_alone_beside(campaign, examples, np.arange(n))
    assert alone == ("call",)
    few = few_of(NAMES, taught(*strategy), 20, alone)
    assert few.untrained(NAMES) == ("call",)
    (told,) = never_chosen(campaign, few)
    assert "as those that got call: nothing shows what these bring" in told
    both = few_of(NAMES, taught(*strategy), 20, ("mail", "call"))
    assert both.no_claim(NAMES).startswith("too few examples of mail, call, or of nothing beside")


def test_no_claim_is_not_promoted_whatever_else_is_better() -> None:
    known = evidence(no_claim="0 examples of doing nothing to learn from")
    assert failed(known) == failed(known, unproven="promote") == ["evidence"]


@pytest.mark.slow
def test_a_history_in_which_everybody_was_mailed_promotes_nothing(tmp_path: Path) -> None:
    """Mail is all that there is: how much of the outcome is its own nobody can know."""
    random = np.random.default_rng(3)
    events = []
    for i in range(900):
        at, who = START_MS + i * DAY_MS // 4, f"c{i}"
        rich = bool(random.random() < 0.5)
        events += [
            Event(0, who, at, 200.0 if rich else 2.0),
            Event(1, who, at + 1000, strategy="mail"),
        ]
        if random.random() < (0.5 if rich else 0.1):
            events.append(Event(2, who, at + DAY_MS))
    trained = trained_on(events, tmp_path)
    assert trained.bundle.manifest.untrained == ("mail", "call")
    assert "evidence" in [check.name for check in trained.verdict.failed]
    assert not trained.verdict.promote
    assert any("doing nothing to learn from" in one for one in trained.report.facts.notices)


def trained_on(events: list[Event], folder: Path) -> Trained:
    campaign = parse(CAMPAIGN.replace("epochs = 12", "epochs = 2") + FAST)
    prepared = prepare(campaign, Memory(chunks(events, size=500)), folder, 5)
    return train(campaign, prepared, seed=5, created=datetime(2026, 11, 24, tzinfo=UTC))
