"""The JSON Schema of the campaign file: what we ship is valid by it, and mistakes are not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from stream.campaign.json_schema import campaign_schema
from stream.cli import main

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted(ROOT.glob("examples/*/opportune.toml"))
SHOP = tomllib.loads((ROOT / "examples" / "segment" / "opportune.toml").read_text("utf-8"))


def printed() -> dict[str, Any]:
    result = CliRunner().invoke(main, ["check", "--schema", "no-such-file.toml"])
    assert result.exit_code == 0, result.output
    schema: dict[str, Any] = json.loads(result.stdout)
    return schema


def test_every_example_is_valid_for_the_tool_that_editors_have(tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(printed()))
    assert len(EXAMPLES) >= 3
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--schemafile", str(schema), *map(str, EXAMPLES)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(EXAMPLES[0].read_text("utf-8").replace("app = ", "apps = ", 1))
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--schemafile", str(schema), str(wrong)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "apps" in done.stdout


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"app": "no blanks here"}, "app"),
        ({"policy": {"consent": "opt_inn"}}, "consent"),
        ({"training": {"attribution_window": "7 days"}}, "attribution_window"),
        ({"strategies": []}, "strategies"),
        ({"colour": 1}, ""),
    ],
)
def test_mistakes_are_found(change: dict[str, Any], where: str) -> None:
    validator = jsonschema.Draft202012Validator(campaign_schema())
    assert validator.is_valid(SHOP)
    (error,) = validator.iter_errors({**SHOP, **change})
    assert where in {"", *map(str, error.absolute_path)}


def test_settings_are_described_and_patterns_are_those_of_javascript() -> None:
    schema = campaign_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    training = schema["$defs"]["TrainingSpec"]["properties"]
    assert training["warm_up"]["description"].startswith("How long after a cut of the history")
    assert "\n" not in training["warm_up"]["description"]
    assert schema["$defs"]["FeatureSpec"]["properties"]["window"]["description"]
    patterns = re.findall(r'"pattern": "(.*?)"[,}]', json.dumps(schema))
    assert len(patterns) > 5
    assert not [pattern for pattern in patterns if r"\\Z" in pattern]
