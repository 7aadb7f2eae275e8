"""What is written about decisions, schemas and documentation, is what the code publishes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from stream.decisions.encoder import DATA_SCHEMA
from stream.policy.decision import Dropped, Reason
from stream.policy.stages import STAGES

DOCS = Path(__file__).parents[3] / "docs"
SCHEMAS: dict[str, Any] = {
    "cloudevents": json.loads((DOCS / "decision.schema.json").read_text("utf-8")),
    "flat": json.loads((DOCS / "flat-decision.schema.json").read_text("utf-8")),
}
GOLDEN = Path(__file__).parents[2] / "golden"
# Real output: tests/stream/decisions/test_decisions.py holds the encoder to these bytes.
DECISIONS: dict[str, Any] = {
    form: json.loads((GOLDEN / f"decision.{form}.json").read_bytes()) for form in SCHEMAS
}


@pytest.mark.parametrize("form", SCHEMAS)
def test_schemas_are_schemas_and_refuse_more(form: str) -> None:
    schema = SCHEMAS[form]
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    message = DECISIONS[form]
    by_chance = json.loads((GOLDEN / f"decision.{form}.chance.json").read_bytes())
    with_contacts = {"not_before"} if form == "flat" else set()
    assert set(schema["properties"]) == {*by_chance, *with_contacts}
    assert set(schema["required"]) == set(message)
    validator.validate(by_chance)
    assert not validator.is_valid({**message, "more": 1})
    for key in message:
        assert not validator.is_valid({k: v for k, v in message.items() if k != key}), key


def test_the_schema_knows_every_code() -> None:
    schema = SCHEMAS["cloudevents"]
    data = schema["$defs"]["data"]["properties"]
    assert data["reasons"]["items"]["enum"] == [reason.name for reason in Reason]
    codes = data["dropped"]["items"]["properties"]["code"]["enum"]
    assert codes == [code.name for code in Dropped if code != Dropped.CHOSEN]
    stages = data["dropped"]["items"]["properties"]["stage"]["enum"]
    assert stages == [stage.name for stage in STAGES]
    assert sorted(code for stage in STAGES for code in stage.codes) == list(Dropped)[1:]
    anchor = schema["$defs"]["data"]["$anchor"]
    assert f"{schema['$id']}#{anchor}" == DATA_SCHEMA


def test_the_documentation_shows_the_golden_decisions_and_every_code() -> None:
    page = (DOCS / "decisions.md").read_text("utf-8")
    shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]
    by_chance = json.loads((GOLDEN / "decision.flat.chance.json").read_bytes())
    assert shown == [*DECISIONS.values(), by_chance]
    for stage in STAGES:
        assert f"| `{stage.name}` | {stage.drops.capitalize()} |" in page
    for code in [*Reason, *Dropped]:
        assert f"| `{code.name}` |" in page or code is Dropped.CHOSEN
