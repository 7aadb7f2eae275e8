"""What wrong clocks look like to a worker: of its own machine, of the broker, of those who send."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta

from stream.errors import ClockError

_ABSURD_SHARE = 0.1
"""Of the records of an interval; fewer are a few senders that are wrong, and lie on the dead-letter topic."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# As Kafka writes it; there is no field for the numbers.
_RANGE = re.compile(r"Timestamp (-?\d+) .* within \[(-?\d+), (-?\d+)\]")


def refused_by_broker(topic: str, said: str | None, now_ms: int) -> ClockError:
    """The error of a broker that does not take records of this time.

    Args:
        topic: Topic of the records.
        said: The broker's words, None from one that gives none.
        now_ms: The time by the clock of this machine, epoch milliseconds.
    """
    found = _RANGE.search(said or "")
    told = f"times that {topic!r} takes, around the broker's clock"
    stamp_ms = now_ms
    if found is not None:
        stamp_ms, from_ms, to_ms = map(int, found.groups())
        told = f"times from {_utc(from_ms)} to {_utc(to_ms)} by the broker's clock on {topic!r}"
    return ClockError(
        f"expected {told}, got {_utc(stamp_ms)} on a record, and this machine's clock says "
        f"{_utc(now_ms)}. Operator action: set the clock of the machine that is wrong, this one or the "
        "broker's (NTP), and start the worker again; how far they may differ say "
        "message.timestamp.before.max.ms and message.timestamp.after.max.ms of the topic"
    )


def absurd_times(rejects: Counter[str], records: int) -> str | None:
    """What to look at when many events of an interval have a time that cannot be, else None.

    Args:
        rejects: Refused records by reason.
        records: All records.
    """
    absurd = rejects["absurd_timestamp"]
    if not records or absurd < _ABSURD_SHARE * records:
        return None
    return (
        f"{absurd} of {records} records were refused as absurd_timestamp: a time too far after that "
        "of their record, or after now. If it is right, the clock of who sent them, of the broker "
        "or of this machine is behind: compare them, and the record timestamps on the topic; the "
        "events are on the dead-letter topic"
    )


def _utc(time_ms: int) -> str:
    try:
        return (_EPOCH + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds")
    except OverflowError:  # Kafka's way to say: however long ago
        return "any time"
