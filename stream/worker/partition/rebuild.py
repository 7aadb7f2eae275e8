"""Several topics: none decides before all of them have rebuilt the table.

A new layout of the table is rebuilt in silence, each topic up to where it was committed. One that is
through would decide on rows that lack what the others are still to bring: so up to there all of them are a
stretch of their own (`stream.worker.order`), and nothing beyond is taken before its end.

Pure: no Kafka, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stream.state.marker import Stretch
from stream.worker.order.steps import Run


def targets(silent_until: Mapping[str, int], ends: Mapping[str, int]) -> dict[str, int]:
    """Up to where each topic rebuilds the table: no further than there are records.

    Args:
        silent_until: By event topic, the offset before which events only rebuild the table.
        ends: Offset after the last record, by event topic.
    """
    return {topic: min(offset, ends.get(topic, 0)) for topic, offset in silent_until.items()}


def cut(
    runs: Sequence[Run],
    position: Mapping[str, int],
    silent_until: Mapping[str, int],
    ends: Mapping[str, int],
    stretches: Sequence[Stretch] = (),
) -> list[Run]:
    """The runs that an earlier worker announced, as far as it can have come in them.

    A run is announced ahead: the last one may end beyond where its topic had to wait for the others. Of
    those before it the end is known. Behind the stretch in which all topics rebuilt the table, none had
    to wait.

    Args:
        runs: What was announced.
        position: Next offset by event topic.
        silent_until: See `targets`.
        ends: See `targets`.
        stretches: What was caught up with before the last run, or ends before it begins.
    """
    if not runs:
        return []
    reached = dict(position)
    for topic, end in [*runs[:-1], *(known for one in stretches for known in one.end.items())]:
        reached[topic] = max(reached.get(topic, 0), end)
    topic, end = runs[-1]
    behind = (
        reached.get(t, 0) < until for t, until in targets(silent_until, ends).items() if t != topic
    )
    return [*runs[:-1], Run(topic, min(end, silent_until.get(topic, 0)) if any(behind) else end)]
