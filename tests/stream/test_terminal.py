"""Nothing that others wrote acts on the terminal or is taken for markup, whichever command prints it."""

from __future__ import annotations

import io
import json
import logging
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from models.promotions import Move
from stream.cli import main
from stream.log import Formatter
from stream.terminal import Terminal, words
from stream.visible import visible, visible_lines
from trainer.commands.printed import model_tables

NASTY = (
    "[/x]", "[bold]", "[link=http://x]y[/link]", "[/]", "a\\", "\\[x]", ":smile:", "[red",
    "\x1b[2J\x1b[31mred", "\x1b]0;title\x07", "\x9b31m", "\r evil", "a\x08b", "\x7f", "\u202egnp.exe",
    "\u2066x\u2069", "\u2028line", "\udcff", "a\x00b", "日本 ü ß", "a%sb{0}",
)  # fmt: skip
_ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]"
)
EXAMPLE = Path(__file__).parents[2] / "examples/segment/opportune.toml"


def printed(*parts: object) -> str:
    out = io.StringIO()
    Terminal(file=out, width=300, force_terminal=True, color_system=None).print(*parts)
    return out.getvalue()


@given(st.text() | st.sampled_from(NASTY))
def test_what_is_visible_is_on_one_line_and_acts_on_nothing(text: str) -> None:
    shown = visible(text)
    assert not _ACTING.search(shown)
    assert not {"\n", "\t"} & set(shown)
    shown.encode()  # can be written
    assert not _ACTING.search(visible_lines(text))
    assert visible_lines(text).count("\n") == text.count("\n")


@pytest.mark.parametrize("text", ["plain", "[/x] ü 日本 \\ 'quoted' 🎁", ""])
def test_what_does_not_act_stays_as_it_is(text: str) -> None:
    assert visible(text) == visible_lines(text) == text


@pytest.mark.parametrize("text", NASTY)
def test_the_terminal_shows_every_text_as_it_is(text: str) -> None:
    table = Table(text, title=text)
    table.add_row(text)
    for said in (text, words(text), words((text, "bold"), text), table):
        out = printed(said)
        assert visible_lines(text) in out
        assert not _ACTING.search(out)


def _strings(seed: str) -> Move:
    return Move(
        number=1, time=datetime(2026, 1, 1, tzinfo=UTC), by=seed, action="promote", champion=seed,
        before=seed, why=seed, parent="",
    )  # fmt: skip


@pytest.mark.parametrize("text", NASTY)
def test_a_history_shows_authors_and_reasons_as_they_are(text: str) -> None:
    out = printed(model_tables.history([_strings(text)]))
    assert out.count(visible_lines(text)) == 4
    assert not _ACTING.search(out)


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_log_lines_stay_lines_and_act_on_nothing(text: str, log_format: str) -> None:
    formatter = Formatter(log_format)  # type: ignore[arg-type]
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s", (text,), None)
    event = logging.LogRecord("x", logging.INFO, "", 0, "%s", (text,), None)
    event.evt, event.fields = "refused", {"reason": f"{text}\nevt=forged", "ends": {text: 1}}
    for one in (record, event):
        line = formatter.format(one)
        assert not _ACTING.search(line)
        assert "\n" not in line
        if log_format == "json":
            assert text in (said := json.loads(line)).get("message", said.get("reason"))


def toml(text: str) -> str:
    return '"' + "".join(c if c.isalnum() else f"\\U{ord(c):08x}" for c in text) + '"'


@pytest.mark.parametrize("text", [text for text in NASTY if text.isprintable()])
def test_check_shows_names_with_brackets(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "[x] [bold]"
    folder.mkdir()
    source = EXAMPLE.read_text()
    channel = tomllib.loads(source)["strategies"][0]["channel"]
    file = folder / "opportune.toml"
    file.write_text(source.replace(f'channel = "{channel}"', f"channel = {toml(text)}"))
    result = CliRunner().invoke(main, ["check", str(file)], env={"COLUMNS": "300"})
    assert result.exit_code == 0, result.output
    assert text in result.output
    assert "[x] [bold]" in result.output


@pytest.mark.parametrize("text", NASTY)
def test_an_error_shows_what_came_as_it_is(tmp_path: Path, text: str) -> None:
    name = text.replace("/", "_").replace("\0", "_")
    result = CliRunner().invoke(main, ["check", str(tmp_path / name)])
    assert result.exit_code == 2
    assert visible_lines(name) in result.output
    assert not _ACTING.search(result.output)
