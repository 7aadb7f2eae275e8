"""The referee of the funnel: it finds nothing in what the worker's code decides, and each rule that is broken."""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest

from benchmarks.funnel.referee import CAMPAIGN, Referee
from benchmarks.reference.contestants import reference_bundle
from benchmarks.reference.input import generate, recent
from benchmarks.reference.model import ReferenceModel
from stream.campaign import file as campaign_file
from stream.columns import RecordChunk, Spans
from stream.contacts.budgets.budget_log import BudgetLog
from stream.contacts.budgets.purse import Purse
from stream.contacts.contact_layout import lay_out_contacts
from stream.contacts.contact_table import ContactTable
from stream.features.plan import compile_features
from stream.pipeline import Deployment, Pipeline
from stream.policy.choice import Policy
from stream.scoring.scorer import Scorer
from stream.state.table import CustomerTable
from tests.stream.worker.test_topics_layout_letters import decisions_of

pytestmark = pytest.mark.slow

NOW_MS = 1_780_056_000_000
CHUNK = 100


@cache
def decided() -> tuple[list[bytes], list[bytes]]:
    """Events, and what the worker's code decides about them, a second for each chunk."""
    campaign = campaign_file.load(CAMPAIGN)
    plan = compile_features(campaign)
    scorer = Scorer(reference_bundle(ReferenceModel.load(), campaign))
    deployment = Deployment(scorer, Policy(campaign, scorer.head, scorer.strategies))
    pipeline, table = Pipeline(campaign, plan), CustomerTable(plan.row_words)
    contacts, log = ContactTable(lay_out_contacts(campaign)), BudgetLog()
    contacts.purse = Purse(campaign, log, "c", 1)
    keys, values = zip(*recent(generate(1_500, 150), NOW_MS).records(), strict=True)
    decisions: list[bytes] = []
    for at in range(0, len(values), CHUNK):
        some = values[at : at + CHUNK]
        now_ms = NOW_MS + 10 * at
        for draw in contacts.purse.wishes(now_ms, len(some)):
            log.read(draw)
        chunk = RecordChunk(
            campaign.topics.events[0], 0, np.arange(at, at + len(some)),
            np.full(len(some), NOW_MS), Spans.of(keys[at : at + CHUNK]), Spans.of(some),
            at + len(some),
        )  # fmt: skip
        step = pipeline.step(
            chunk, table, deployment, silent_until=0, now_ms=now_ms, contacts=contacts
        )
        for batch in step.decisions:
            found = decisions_of(batch)
            decisions += [found.value[i] or b"" for i in range(len(found))]
    return list(values), decisions


def judged(decisions: list[Any]) -> Referee:
    referee = Referee()
    referee.judge(decided()[0], [msgspec.json.encode(one) for one in decisions])
    return referee


def told() -> list[Any]:
    return copy.deepcopy([json.loads(one) for one in decided()[1]])


def act(decision: Any, strategy: str) -> None:
    """Has a decision contact somebody, whatever speaks against it."""
    data = decision["data"]
    data["dropped"] = [one for one in data["dropped"] if one["strategy"] != strategy]
    data |= {"decision": "act", "probabilities": {strategy: 2**32}, "action_probability": 1.0}
    data["action"]["strategy"] = strategy


def test_nothing_is_broken_by_the_code_of_the_worker() -> None:
    referee = judged(told())
    assert dict(referee.found) == {}
    assert referee.decisions == 1_500
    assert 0.05 < referee.acted / referee.decisions < 0.9
    codes = {one["code"] for decision in told() for one in decision["data"]["dropped"]}
    assert codes >= {"CAPPED", "OPEN_DECISION", "HOLDOUT", "NO_CONSENT"}


def test_a_second_contact_breaks_what_forbids_it() -> None:
    decisions = told()
    last = {d["subject"]: d for d in decisions}
    first = next(
        d for d in decisions if d["data"]["decision"] == "act" and last[d["subject"]] is not d
    )
    again = last[first["subject"]]
    act(again, first["data"]["action"]["strategy"])
    assert set(judged(decisions).found) >= {"open decision", "cool-down"}


def test_one_contact_too_many_breaks_a_cap() -> None:
    decisions = told()
    full = next(
        d for d in decisions
        if d["data"]["reasons"] == ["CONTACT_RULES"] and not d["data"]["holdouts"]
        and {one["code"] for one in d["data"]["dropped"]} >= {"CAPPED", "OPEN_DECISION"}
    )  # fmt: skip
    act(full, next(x["strategy"] for x in full["data"]["dropped"] if x["code"] == "CAPPED"))
    assert any(rule.startswith("cap ") for rule in judged(decisions).found)


def test_what_consent_and_hold_outs_forbid_is_found() -> None:
    decisions = told()
    act(next(d for d in decisions if d["data"]["reasons"] == ["NO_CONSENT"]), "strategy-2")
    act(next(d for d in decisions if "universal" in d["data"]["holdouts"]), "strategy-2")
    assert set(judged(decisions).found) >= {"consent", "holdout"}


@pytest.mark.parametrize("rule", ["probabilities", "missing", "reasons", "arm"])
def test_what_is_wrong_in_a_decision_is_found(rule: str) -> None:
    decisions = told()
    data = decisions[700]["data"]
    if rule == "probabilities":
        data["probabilities"]["nothing"] = 1
    elif rule == "reasons":
        del data["dropped"][0]
    elif rule == "arm":
        data["holdouts"] = [*data["holdouts"], "another"]
    else:
        del decisions[700]
    assert rule in judged(decisions).found
