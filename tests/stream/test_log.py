"""One event a line, the same in both formats."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from stream.log import Formatter, LogFormat, log_event


@pytest.fixture
def lines(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    log_format: LogFormat = request.param
    out: list[str] = []
    handler = logging.Handler()
    handler.setFormatter(Formatter(log_format))
    handler.emit = lambda record: out.append(handler.format(record))  # type: ignore[method-assign]
    logger = logging.getLogger("opportune")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield out
    logger.removeHandler(handler)


@pytest.mark.parametrize("lines", ["text"], indirect=True)
def test_text_is_logfmt(lines: list[str]) -> None:
    log_event("summary", lag=0, model=None, by={"a": 1, "b": 2}, done=True, reason='said "no"')
    line = lines[0]
    assert 'evt=summary lag=0 by=a:1,b:2 done=true reason="said \\"no\\""' in line
    assert line.startswith("ts=20")
    assert "Z level=info" in line
    assert "model" not in line  # what is not known is left out


@pytest.mark.parametrize("lines", ["json"], indirect=True)
def test_json_keeps_types(lines: list[str]) -> None:
    log_event("summary", level=logging.WARNING, lag=3, by={"a": 1}, name="x\ny")
    fields = json.loads(lines[0])
    assert (fields["evt"], fields["level"], fields["lag"]) == ("summary", "warning", 3)
    assert (fields["by"], fields["name"]) == ({"a": 1}, "x\ny")


@pytest.mark.parametrize("lines", ["json", "text"], indirect=True)
def test_an_event_is_one_line_whatever_it_says(lines: list[str]) -> None:
    log_event("crash", reason="first\nsecond")
    assert "\n" not in lines[0]


@pytest.mark.parametrize("lines", ["json"], indirect=True)
def test_lines_of_others_pass_through_with_their_traceback(lines: list[str]) -> None:
    logging.getLogger("opportune").error("it %s", "broke", exc_info=ValueError("bad"))
    fields = json.loads(lines[0])
    assert (fields["evt"], fields["message"]) == ("log", "it broke")
    assert "ValueError: bad" in fields["exception"]
