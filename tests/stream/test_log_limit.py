"""A library that repeats itself says it a few times, and then how often it would have."""

from __future__ import annotations

import logging

from hypothesis import given
from hypothesis import strategies as st

from stream.log import Formatter
from stream.log_limit import Kind, Limit, LimitFilter

KIND = Kind("aiokafka", logging.ERROR, "gone")


class Log:
    """A logger behind the filter, with a clock that stands still."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.lines: list[str] = []
        handler = logging.Handler()
        handler.setFormatter(Formatter("text"))
        handler.emit = lambda record: self.lines.append(record.getMessage())  # type: ignore[method-assign]
        handler.addFilter(LimitFilter(handler.emit, Limit(2, 10.0), lambda: self.now_s))
        self.logger = logging.Logger("aiokafka")  # noqa: LOG001  # its own, not one of the process
        self.logger.addHandler(handler)


def test_the_first_ones_get_through_and_the_rest_is_counted() -> None:
    log = Log()
    for i in range(1_000):
        log.logger.error("topic %s is gone", f"t{i}")
    assert log.lines == ["topic t0 is gone", "topic t1 is gone"]
    log.now_s = 9.9
    log.logger.error("topic %s is gone", "t")
    log.now_s = 12.0
    log.logger.info("summary", extra={"evt": "summary"})
    assert log.lines[2:] == ["... 999 more like it in 12 s: topic %s is gone", "summary"]
    log.logger.error("topic %s is gone", "t")
    assert log.lines[4:] == ["topic t is gone"]
    log.now_s = 100.0
    log.logger.info("summary", extra={"evt": "summary"})
    assert log.lines[5:] == ["summary"]  # nothing was held back


def test_kinds_are_told_apart_but_for_numbers() -> None:
    log = Log()
    for i in range(100):
        log.logger.error(f"node {i} at {i:#x} is gone")  # noqa: G004  # as libraries do
        log.logger.warning(f"node {i} at {i:#x} is gone")  # noqa: G004
        log.logger.error("another")
    assert len(log.lines) == 3 * 2


def test_lines_of_the_worker_all_get_through() -> None:
    log = Log()
    for _ in range(100):
        log.logger.error("lost", extra={"evt": "lost"})
    assert len(log.lines) == 100


def test_a_flood_of_kinds_is_a_flood() -> None:
    log = Log()
    for i in range(10_000):
        log.logger.error("a" * i)
    assert len(log.lines) == 512 + 2
    log.now_s = 10.0
    log.logger.info("summary", extra={"evt": "summary"})
    held_back = 10_000 - 512 - 2
    assert log.lines[-2] == f"... {held_back} more like it in 10 s: lines of many other kinds"


@given(st.lists(st.floats(0, 5), max_size=300), st.integers(1, 5))
def test_every_line_is_either_shown_or_counted(pauses_s: list[float], first: int) -> None:
    limit, now_s, shown, told = Limit(first, 10.0), 0.0, 0, 0
    for pause_s in pauses_s:
        now_s += pause_s
        told += sum(more for _, more, _ in limit.over(now_s))
        shown += limit.admit(KIND, now_s)
    told += sum(more for _, more, _ in limit.over(now_s + 10.0))
    assert shown + told == len(pauses_s)
    assert shown <= first * (1 + now_s / 10.0)
