"""In which order several event topics are taken, so that a worker that takes over does the same.

Within a topic the order is that of the offsets. Between topics there are two:

- What was there when a partition began is caught up with in the order of event times
  (`stream.record_order`): "a stretch". So a first start decides on the features that training sees.
- What comes later is taken as it arrives. A replay after a crash would not repeat that: a purchase and the
  mail before it could change places, and a decision published a second time would not be the one
  published first. So before the decisions of chunks that could change places are published, the changelog
  learns which topic is being taken, up to which offset: "a run".

Both are durable before the first decision that depends on them leaves; a worker that takes over follows
what it finds beyond the marker. With one event topic none of this happens.

Pure: no Kafka, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from stream.state.marker import Marker, Stretch

RUN_RECORDS = 32_768
"""How far ahead a run is announced: large enough to be rare, small enough to be waited for."""

_REMEMBERED = 8
"""Stretches that stay in the marker when they are covered: parity goes by them."""


class Run(NamedTuple):
    """Records of `topic` before offset `end` come before those of the next run."""

    topic: str
    end: int


Step = Run | Stretch


def sequence(runs: Sequence[Run], stretches: Sequence[Stretch]) -> list[Step]:
    """Runs and stretches as they follow each other: a run ends before a stretch, or beyond it."""
    steps, left = list[Step](), list(runs)
    for stretch in stretches:
        while left and left[0].end <= stretch.start.get(left[0].topic, 0):
            steps.append(left.pop(0))
        steps.append(stretch)
    return [*steps, *left]


class Announcer:
    """The order in which one partition is taken, since its last checkpoint.

    Args:
        runs: What an earlier worker left.
        stretches: What earlier workers caught up with, or began to.
        ends: Offset after the last record of each topic: a run, announced ahead, goes no further.
    """

    def __init__(
        self,
        runs: Sequence[Run] = (),
        stretches: Sequence[Stretch] = (),
        ends: Mapping[str, int] | None = None,
    ) -> None:
        if ends is not None:
            runs = [Run(topic, min(end, ends.get(topic, 0))) for topic, end in runs]
        self._steps = sequence(runs, stretches)
        self._stretches = list(stretches)
        self._owed = False

    def align(
        self, position: Mapping[str, int], ends: Mapping[str, int], *, silent: bool = False
    ) -> None:
        """Registers that what there is beyond all this is taken in the order of event times.

        Args:
            position: Next offset of each event topic.
            ends: Offset after the last record of each.
            silent: It only rebuilds the table.
        """
        start = dict(position)
        for step in self._steps:
            for topic, end in _ends(step).items():
                start[topic] = max(start.get(topic, 0), end)
        end_of = {topic: max(offset, ends.get(topic, 0)) for topic, offset in start.items()}
        if end_of != start:
            stretch = Stretch(start, end_of, silent)
            self._steps.append(stretch)
            self._stretches.append(stretch)
            self._owed = True

    def owed(self) -> bool:
        """Whether a stretch is to be made durable before anything leaves; asked once."""
        owed, self._owed = self._owed, False
        return owed

    def announce(self, topic: str, position: int, end: int) -> bool:
        """Registers that a chunk is taken now; True when its run is to be made durable first.

        Args:
            topic: Topic of the chunk.
            position: Offset up to which its topic was taken before.
            end: Offset after the chunk.
        """
        last = self._steps[-1] if self._steps else None
        if isinstance(last, Run) and last.topic == topic:
            if end <= last.end:
                return False
            self._steps.pop()
        self._steps.append(Run(topic, max(end, position + RUN_RECORDS)))
        return True

    def close(self, positions: Mapping[str, int], topic: str = "") -> bool:
        """A last run of another topic than the one that comes next, if any, ended where that one is.

        Returns:
            Whether that is not where it was announced to end.
        """
        last = self._steps[-1] if self._steps else None
        if not isinstance(last, Run) or last.topic == topic:
            return False
        self._steps[-1] = Run(last.topic, positions.get(last.topic, 0))
        return self._steps[-1] != last

    def beyond(self, covered: Mapping[str, int]) -> list[Step]:
        """The steps that reach past what is covered; the others are forgotten."""
        self._steps = [step for step in self._steps if not _is_covered(step, covered)]
        return list(self._steps)

    def runs(self) -> list[Run]:
        """The runs among the steps that are left."""
        return [step for step in self._steps if isinstance(step, Run)]

    def stretches(self, covered: Mapping[str, int]) -> list[Stretch]:
        """The stretches, those that are covered only as far as there is room for: the largest ones."""
        done = [stretch for stretch in self._stretches if _is_covered(stretch, covered)]
        done.sort(key=lambda one: 0 if one.silent else one.records)
        for stretch in done[:-_REMEMBERED]:
            self._stretches.remove(stretch)
        return list(self._stretches)


def announces(marker: Marker) -> bool:
    """Whether a marker says in which order what comes next is taken."""
    steps: list[Step] = [*(Run(*run) for run in marker.order), *(marker.aligned or [])]
    return any(not _is_covered(step, marker.covered) for step in steps)


def _ends(step: Step) -> Mapping[str, int]:
    return {step.topic: step.end} if isinstance(step, Run) else step.end


def _is_covered(step: Step, covered: Mapping[str, int]) -> bool:
    return all(end <= covered.get(topic, 0) for topic, end in _ends(step).items())
