"""The command line: what it says, and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from stream.cli import main

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "segment" / "opportune.toml"


def test_help_lists_every_command_with_what_it_does() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for command in ("broker", "check", "demo", "train", "worker"):
        assert f"\n  {command} " in result.output


@pytest.mark.parametrize("command", ["broker", "check", "demo", "train", "worker"])
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_check_shows_features_state_and_topics() -> None:
    result = CliRunner().invoke(main, ["check", str(EXAMPLE)], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "is valid" in result.output
    for part in ("segment-events", "decisions", "dead-letters", "bytes per customer", "nothing"):
        assert part in result.output


def test_a_wrong_campaign_ends_with_2_and_one_line(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(EXAMPLE.read_text().replace('op = "count"', 'op = "total"', 1))
    for command in ("check", "worker"):
        result = CliRunner().invoke(main, [command, str(wrong)])
        assert result.exit_code == 2
        assert "wrong.toml: at features[" in result.output
        assert "Traceback" not in result.output


def test_what_is_no_address_ends_with_2_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["worker", str(EXAMPLE)]
    for more in (["--bootstrap", "localhost:abc"], []):
        result = CliRunner().invoke(main, [*asked, *more])
        assert result.exit_code == 2
        assert "expected host:port, or several with commas, got 'localhost:abc'" in result.output
        assert "Traceback" not in result.output
        monkeypatch.setenv("OPPORTUNE_BOOTSTRAP", "localhost:abc")


def test_an_unknown_command_is_named() -> None:
    result = CliRunner().invoke(main, ["wroker"])
    assert result.exit_code == 2
    assert "wroker" in result.output
