"""What wrong clocks look like to a worker: of its own machine, of the broker, of those who send."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from stream.errors import ClockError

_AHEAD_SHARE = 0.1
"""Of the records of an interval; fewer are a few senders that are wrong, and are counted."""

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


def times_ahead(ahead: int, records: int) -> str | None:
    """What to look at when many events of an interval are from after their records, else None.

    Args:
        ahead: Events that said a time too far after that of their record.
        records: All records.
    """
    if not records or ahead < _AHEAD_SHARE * records:
        return None
    return (
        f"{ahead} of {records} events said a time more than events.timestamp_ahead_max after that of "
        "their record. The clock of who sent them is ahead, or that of the broker behind: compare "
        "both with the record timestamps on the topic. Such events are moved to when they came in, "
        "by what they say at events.sent_at if they say it; with events.strict they are refused"
    )


def _utc(time_ms: int) -> str:
    try:
        return (_EPOCH + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds")
    except OverflowError:  # Kafka's way to say: however long ago
        return "any time"
