"""docs/asyncapi.yaml says what the code does: topics, headers, schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml

from stream.campaign.file import DecisionSpec, EventMapping
from stream.campaign.topics_section import Topics
from stream.contacts.budgets.budget_log import Draw
from stream.decisions import dead_letter
from stream.decisions.encoder import CONTENT_TYPES, FEATURES_HEADER
from stream.decisions.place_header import EVENT_HEADER, LOG_HEADER, POLICY_HEADER, RULES_HEADER
from stream.policy.operated.pauses import EVERYTHING, Switch, record_of
from stream.worker.control.control_topic import budget_topic, control_topic

DOCS = Path(__file__).parents[2] / "docs"
API: dict[str, Any] = yaml.safe_load((DOCS / "asyncapi.yaml").read_text("utf-8"))
MESSAGES = API["components"]["messages"]
SCHEMAS = API["components"]["schemas"]


def references(node: Any) -> Iterator[str]:
    """Every $ref below a node."""
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from references(child)


def resolve(reference: str) -> Any:
    """What a $ref of the file points at."""
    file, _, pointer = reference.partition("#")
    node = json.loads((DOCS / file).read_text("utf-8")) if file else API
    for key in pointer.split("/")[1:]:
        node = node[key]
    return node


def test_every_reference_resolves() -> None:
    found = set(references(API))
    assert {"./decision.schema.json", "./flat-decision.schema.json"} <= found
    for reference in found:
        assert resolve(reference)


def test_every_message_and_schema_is_used() -> None:
    used = set(references(API))
    for kind in ("messages", "schemas"):
        for name in API["components"][kind]:
            assert f"#/components/{kind}/{name}" in used


def test_topics_are_those_of_the_campaign_file() -> None:
    defaults = Topics(events=("events",))
    channels = API["channels"]
    assert channels["decisions"]["address"] == defaults.decisions
    assert channels["deadLetters"]["address"] == defaults.dead_letter
    assert re.findall(r"{(\w+)}", channels["events"]["address"]) == list(
        channels["events"]["parameters"]
    )
    assert channels["control"]["address"] == "{app}-control"
    assert control_topic("shop") == "shop-control"
    assert channels["budgets"]["address"] == "{app}-budgets"
    assert budget_topic("shop") == "shop-budgets"
    actions = {(op["action"], op["channel"]["$ref"]) for op in API["operations"].values()}
    assert actions == {
        ("receive", "#/channels/events"),
        ("receive", "#/channels/control"),
        ("send", "#/channels/budgets"),
        ("send", "#/channels/decisions"),
        ("send", "#/channels/deadLetters"),
    }


@pytest.mark.parametrize(
    ("message", "form"), [("decision", "cloudevents"), ("flatDecision", "flat")]
)
def test_decisions_carry_the_content_type_of_their_form(message: str, form: str) -> None:
    assert MESSAGES[message]["contentType"] == CONTENT_TYPES[form]


def test_headers_are_those_of_the_code() -> None:
    decision = SCHEMAS["decisionHeaders"]
    assert set(decision["properties"]) == {
        "content-type", FEATURES_HEADER, LOG_HEADER, EVENT_HEADER, POLICY_HEADER,
        RULES_HEADER,
    }  # fmt: skip
    assert decision["properties"]["content-type"]["enum"] == list(CONTENT_TYPES.values())
    assert DecisionSpec().feature_header
    letter = SCHEMAS["deadLetterHeaders"]
    assert tuple(letter["required"]) == dead_letter.HEADERS
    more = (*dead_letter.TRUNCATED_HEADERS, dead_letter.HEADERS_BYTES, dead_letter.ELEMENTS_HEADER)
    assert tuple(letter["properties"]) == (*dead_letter.HEADERS, *more)
    assert tuple(letter["patternProperties"]) == (f"^{re.escape(dead_letter.ORIGINAL)}",)


def test_a_switch_is_what_a_pause_writes() -> None:
    key, value = record_of(EVERYTHING, Switch(paused=True, at="2026-11-30T06:00:00.000Z"))
    assert key == b"pause/*"
    jsonschema.validate(json.loads(value), SCHEMAS["switch"])
    assert set(SCHEMAS["switch"]["properties"]) == set(json.loads(value))


def test_a_draw_is_what_a_purse_writes() -> None:
    assert set(SCHEMAS["draw"]["properties"]) == set(Draw.__struct_fields__)
    draw = Draw(account="b/day/contacts", period="2026-11-30", claim="c", take=5, limit=9)
    jsonschema.validate(json.loads(msgspec.json.encode(draw)), SCHEMAS["draw"])


def test_schemas_are_schemas() -> None:
    for schema in SCHEMAS.values():
        jsonschema.Draft7Validator.check_schema(schema)


def test_the_event_is_what_the_default_mapping_reads() -> None:
    mapping = EventMapping()
    shown = set(SCHEMAS["event"]["properties"])
    assert {path for paths in (mapping.customer_id, mapping.event_id, mapping.type)
            for path in paths} <= shown  # fmt: skip
    assert mapping.timestamp[0] in shown
    assert {path.split(".")[0] for path in mapping.consent} <= shown
