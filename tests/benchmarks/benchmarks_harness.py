"""Events as they come back from a topic, the right decisions about them, and wrong ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.reference.input import Input, generate
from benchmarks.reference.model import ReferenceModel
from benchmarks.reference.read import Decisions, Events
from benchmarks.reference.verify import decide

MODEL = ReferenceModel.load()


def as_read(events: Input, partitions: int = 3) -> Events:
    """The events as they come back from a topic."""
    partition = events.customer % partitions
    order = np.argsort(partition, kind="stable")
    return Events(
        id=[f"{number:016x}" for number in events.number[order]],
        customer=[f"c{number:08d}" for number in events.customer[order]],
        kind=events.kind[order],
        time_s=events.timestamp_ms[order] / 1000,
        value=events.value[order],
        partition=partition[order],
        append_ms=np.arange(len(events)),
    )


EVENTS = as_read(generate(2_000, 100))
EXPECTED = decide(EVENTS, MODEL)


def decisions_of(index: list[int] | None = None, **changes: Any) -> Decisions:
    """The right decisions about the events `index`, with changes."""
    i = np.arange(len(EVENTS)) if index is None else np.array(index, np.int64)
    right = Decisions(
        event=[EVENTS.id[j] for j in i],
        customer=[EVENTS.customer[j] for j in i],
        strategy=EXPECTED.strategy[i].copy(),
        score=np.round(EXPECTED.score[i], 6),
        partition=EVENTS.partition[i].copy(),
        append_ms=np.arange(len(i)),
    )
    return replace(right, **changes)
