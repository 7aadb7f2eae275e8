"""Decisions as bytes: against a plain renderer, the schemas and golden bytes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.campaign.file import Campaign, parse
from stream.campaign.rules_digest import rules_digest
from stream.columns import EventBatch, Spans
from stream.decisions.encoder import CONTENT_TYPES, DecisionEncoder
from stream.decisions.slots import Page
from stream.decisions.template import Slot, Template
from stream.errors import CampaignError
from stream.policy.choice import Policy
from stream.policy.decision import CERTAIN, DecisionBatch, Dropped, Reason
from stream.policy.draws import Asked
from tests.stream.decisions.plain_decisions import VERSIONS, plain_cloudevent, plain_flat

ROOT = Path(__file__).parents[3]
GOLDEN = Path(__file__).parents[2] / "golden"
FORMS = ("cloudevents", "flat")
CHANCE = """
[[holdouts]]
id = "universal"
share = 0.05
[[holdouts]]
id = "no-mail"
share = 0.1
channels = ["email"]
[exploration]
method = "epsilon"
epsilon = 0.1
"""
"""What a campaign has in which chance has a part."""
SCHEMAS = {
    "cloudevents": json.loads((ROOT / "docs/decision.schema.json").read_text("utf-8")),
    "flat": json.loads((ROOT / "docs/flat-decision.schema.json").read_text("utf-8")),
}
CAMPAIGN = """
app = "shop"
topics = { events = ["shop-events"] }
[[features]]
op = "count"
[policy]
version = "2026-11"
[decisions]
format = "%s"
source = "/opportune/shop"
[[strategies]]
id = "flash"
channel = "sms"
value = 12.0
[[strategies]]
id = "winback"
channel = "email"
campaign_id = "c-10"
value = 12.0
cost = 0.1
properties = { discount = 10, offer = "spring" }
[[strategies]]
id = "reminder"
value = 3.0
"""
DECIDED_MS = 1_795_507_200_123  # 2026-11-24T08:00:00.123Z


def campaign(form: str, chance: str = "") -> Campaign:
    return parse(CAMPAIGN % form + chance)


def asked(draw: int = 0, held_out: int = 0) -> Asked:
    return Asked(np.empty((1, 0)), np.array([draw]), np.array([held_out]))


NOTHING_SAID = np.empty((0, 1), np.int8), np.empty((0, 1), np.bool_)


def spans(texts: list[str | None]) -> Spans:
    return Spans.of([None if text is None else text.encode() for text in texts])


def events(
    customers: list[str], event_ids: list[str | None], offsets: list[int], times_ms: list[int]
) -> EventBatch:
    n = len(customers)
    time_ms = np.array(times_ms, np.int64)
    return EventBatch(
        record=np.arange(n), offset=np.array(offsets, np.int64), received_ms=time_ms,
        time_ms=time_ms, customer=spans([*customers]), event_id=spans(event_ids),
        event_hash=np.zeros(n, np.uint64),
        type_code=np.zeros(n, np.int16), number=np.empty((0, n)),
        category=np.empty((0, n), np.uint64), consent=np.ones((1, n), np.int8),
        consent_only=np.zeros(n, np.bool_), element=np.full(n, -1, np.int32),
        is_last=np.ones(n, np.bool_),
    )  # fmt: skip


def the_example(form: str, chance: str = "") -> tuple[bytes, DecisionEncoder, EventBatch]:
    """The decision of the golden files and of docs/decisions.md, of a customer who gets no mail by chance."""
    service = campaign(form, chance)
    policy = Policy(service, "response", ["flash", "winback", "reminder", "nothing"])
    scores = np.array([[0.3, 0.081, 0.06, 0.052]], np.float32)
    allowed = np.array([[False, True, True]])
    decisions = policy.choose(scores, allowed, *NOTHING_SAID, asked(CERTAIN // 2, 2))
    batch = events(
        ["other", 'zoë "z"'], [None, "022bb90c-bbac"], [4710, 4711], [0, 1_795_507_199_007]
    )
    encoder = DecisionEncoder(service, "shop-events")
    values = encoder.encode(batch, np.array([1]), decisions, decided_ms=DECIDED_MS, **VERSIONS)
    value = values[0]
    assert value is not None
    return value, encoder, batch


CHANCES = st.lists(st.integers(1, CERTAIN) | st.just(0), min_size=4, max_size=4)
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
PROBABILITY = st.floats(0, 1, width=32)
EVENT = st.tuples(TEXT, st.none() | TEXT, st.integers(0, 2**62), st.integers(0, 4_000_000_000_000))


@st.composite
def decision_rows(
    draw: st.DrawFn, *, chance: bool = False
) -> tuple[list[Any], list[int], DecisionBatch]:
    """Some events, those of them that get a decision, and the decisions."""
    rows = draw(st.lists(EVENT, min_size=1, max_size=4))
    index = draw(st.lists(st.integers(0, len(rows) - 1), max_size=5))
    m = len(index)

    def column(elements: st.SearchStrategy[Any], dtype: type) -> Any:
        return np.array(draw(st.lists(elements, min_size=m, max_size=m)), dtype)

    codes = st.lists(st.sampled_from(list(Dropped)), min_size=3, max_size=3)
    strategy = column(st.integers(0, 3), np.int16)
    chances = np.empty((m, 0), np.int64)
    if chance:
        chances = column(CHANCES, np.int64).reshape(m, 4)
        taken = np.arange(m), strategy
        chances[taken] = np.maximum(chances[taken], 1)
    return rows, index, DecisionBatch(
        strategy=strategy,
        score=column(PROBABILITY | st.just(math.nan), np.float32),
        probability=column(PROBABILITY | st.just(math.nan), np.float32),
        probability_without=column(PROBABILITY | st.just(math.nan), np.float32),
        expected_value=column(st.floats(-1e9, 1e9), np.float64),
        action_probability=column(st.floats(1e-6, 1), np.float64),
        reason=column(st.sampled_from(list(Reason)), np.int8),
        dropped=column(codes, np.int8).reshape(m, 3),
        chances=chances,
        explored=column(st.booleans(), np.bool_),
        held_out=column(st.integers(0, 3), np.int64),
        ghost=column(st.integers(-1, 3), np.int16),
        retry_ms=np.empty((m, 0), np.int64),
        not_before_ms=np.zeros(m, np.int64),
    )  # fmt: skip


@pytest.mark.parametrize("chance", ["", CHANCE], ids=["certain", "chance"])
@pytest.mark.parametrize(
    ("form", "plain"), [("cloudevents", plain_cloudevent), ("flat", plain_flat)]
)
@settings(deadline=None, max_examples=150)
@given(data=st.data(), decided_ms=st.integers(0, 4_000_000_000_000))
def test_bytes_equal_the_plain_renderer_and_meet_the_schema(
    form: str, plain: Any, chance: str, data: st.DataObject, decided_ms: int
) -> None:
    rows = data.draw(decision_rows(chance=bool(chance)))
    service = campaign(form, chance)
    customers, event_ids, offsets, times_ms = (
        list(column) for column in zip(*rows[0], strict=True)
    )
    batch = events(customers, event_ids, offsets, times_ms)
    index, decisions = np.array(rows[1], np.int64), rows[2]
    encoder = DecisionEncoder(service, "shop-events")
    values = encoder.encode(batch, index, decisions, decided_ms=decided_ms, **VERSIONS)
    assert len(values) == len(index)
    validator = jsonschema.Draft202012Validator(SCHEMAS[form])
    keys = encoder.keys(batch, index)
    for i, row in enumerate(index):
        got = values[i]
        assert got is not None
        assert got.decode() == plain(service, batch, row, decisions, i, decided_ms)
        validator.validate(json.loads(got))
        assert keys[i] == customers[row].encode()


@pytest.mark.parametrize("form", FORMS)
def test_golden_bytes(form: str) -> None:
    """Engines in the field parse these: a change is a new version of the message."""
    assert the_example(form)[0] == (GOLDEN / f"decision.{form}.json").read_bytes()
    by_chance = (GOLDEN / f"decision.{form}.chance.json").read_bytes()
    assert the_example(form, CHANCE)[0] == by_chance


@given(st.integers(0, CERTAIN))
def test_ten_decimals_tell_every_probability_apart(numerator: int) -> None:
    page = Page(messages=1, slots=1)
    page.fractions("p", np.array([numerator]))
    text = (Template([Slot("p")]).render(page)[0] or b"").decode()
    assert round(float(text) * CERTAIN) == numerator


@pytest.mark.parametrize("form", FORMS)
def test_a_repeat_differs_in_wall_clock_times_only(form: str) -> None:
    first, encoder, batch = the_example(form)
    decided = json.loads(first)
    policy = Policy(campaign(form), "response", ["flash", "winback", "reminder", "nothing"])
    scores = np.array([[0.3, 0.081, 0.06, 0.052]], np.float32)
    decisions = policy.choose(scores, np.array([[False, True, True]]), *NOTHING_SAID)
    again = encoder.encode(
        batch, np.array([1]), decisions, decided_ms=DECIDED_MS + 86_400_000, **VERSIONS
    )
    repeated = json.loads(again[0] or b"")
    differing = {key for key in decided if decided[key] != repeated[key]}
    assert differing == ({"time"} if form == "cloudevents" else {"decided_at"})


@pytest.mark.parametrize(
    ("expires_after", "expires"),
    [("36h", "1970-01-02T12:00:00.000Z"), ("999999999w", "9999-12-31T23:59:59.999Z")],
)
def test_a_decision_expires_some_time_after_its_event(expires_after: str, expires: str) -> None:
    service = campaign(f'cloudevents"\nexpires_after = "{expires_after}')
    batch = events(["c"], [None], [0], [0])
    decisions = Policy(service, "choice", ["flash", "winback", "reminder"]).choose(
        np.ones((1, 3), np.float32), np.ones((1, 3), np.bool_), *NOTHING_SAID
    )
    encoder = DecisionEncoder(service, "shop-events")
    got = encoder.encode(batch, np.array([0]), decisions, decided_ms=DECIDED_MS, **VERSIONS)
    message = json.loads(got[0] or b"")
    # Decided much later, and no fresher for that.
    assert (message["time"], message["expirytime"]) == ("2026-11-24T08:00:00.123Z", expires)


@pytest.mark.parametrize("form", FORMS)
def test_headers_name_the_form(form: str) -> None:
    of = campaign(form)
    headers = DecisionEncoder(of, "shop-events").headers
    rules = ("rules", rules_digest(of).encode())
    of_flat = [("event_log", b"shop-events"), ("policy", b"2026-11")] if form == "flat" else []
    assert headers == [("content-type", CONTENT_TYPES[form].encode()), rules, *of_flat]


def test_a_property_that_json_cannot_say_is_refused() -> None:
    service = parse(CAMPAIGN.replace("discount = 10", "discount = nan") % "cloudevents")
    with pytest.raises(CampaignError, match=r"strategies\[1\].properties: expected finite .* nan"):
        DecisionEncoder(service, "shop-events")
