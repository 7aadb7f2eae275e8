"""Records behind an open transaction are told when it does not end."""

from __future__ import annotations

from typing import Any

import pytest

from stream.worker.operate import held_back
from stream.worker.operate.held_back import HeldBack, held_records


def test_an_end_that_stands_still_for_a_minute_is_told_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(held_back, "log_event", lambda evt, **fields: told.append(fields))
    watch = HeldBack()
    watch.look({"a/0": (5, 9), "b/0": (7, 7)}, 0.0)
    watch.look({"a/0": (6, 9)}, 59.0)  # it moves: transactions come and go
    watch.look({"a/0": (6, 9)}, 118.0)
    assert told == []
    for now_s in (119.0, 130.0):
        watch.look({"a/0": (6, 12)}, now_s)
    (line,) = told
    assert (line["tp"], line["records"], line["offset"]) == ("a/0", 6, 6)
    watch.look({"a/0": (12, 12)}, 131.0)
    watch.look({"a/0": (12, 13)}, 132.0)
    watch.look({"a/0": (12, 13)}, 192.0)
    assert len(told) == 2
    assert held_records({"a/0": (6, 12), "b/0": (7, 7), "c/1": (1, 2)}) == 7
