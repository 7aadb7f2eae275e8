"""The time of one event, plainly: the slow counterpart of `stream.events.times.time_kernels`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from typing import TypeAlias

from stream.campaign.file import EventMapping
from stream.compiled.time_zones import time_zone
from stream.events.paths import TIMESTAMP, EventPaths
from stream.events.present import EpochMs, Found, JsonNumber, Refused, Root, first_present
from stream.events.scalars import JSON_NUMBER
from stream.events.times.time_kernels import corrected_ms
from stream.events.times.timestamps import epoch_ms, text_ms

Unreadable: TypeAlias = list[tuple[int, str]]
"""What could not be read: index in `EventPaths.counted`, and one sentence."""


@dataclass(frozen=True, slots=True)
class Times:
    """What the time of one event may be: one row of `stream.events.fields.Clock`."""

    record_ms: int
    limit_ms: int
    earliest_ms: int
    ahead_max_ms: int


class TimeJudge:
    """Reads the times of single events, by the mapping of one campaign.

    Raises:
        ValueError: `mapping.time_zone` is no time zone.
    """

    def __init__(self, mapping: EventMapping, paths: EventPaths) -> None:
        self._mapping = mapping
        self._zone = time_zone(mapping.time_zone)
        self._paths = paths

    def time_ms(
        self, root: Root, form: int, times: Times, unreadable: Unreadable
    ) -> tuple[int, bool]:
        """The time of an event, and whether it was too far ahead of its record.

        Args:
            root: The event.
            form: 1 for a CloudEvent, else 0.
            times: What the time may be.
            unreadable: What cannot be read is added here.

        Raises:
            Refused: There is none; of a strict mapping also: one cannot be read or be believed.
        """
        paths = (self._paths.enveloped if form else self._paths.bare)[TIMESTAMP]
        for path, counted in zip(paths, self._paths.times(form), strict=True):
            found = first_present(root, (path,))
            if found is None:
                continue
            try:
                time_ms = self._not_absurd_ms(found, times)
            except Refused as exc:
                if self._mapping.strict:
                    raise
                unreadable.append((counted, str(exc)))
                continue
            if time_ms <= times.limit_ms:
                return time_ms, False
            return self._behind_its_record(root, form, times, found, time_ms)
        if times.record_ms < 0:
            where = " or ".join(self._paths.bare[TIMESTAMP])
            raise Refused(
                "missing_timestamp",
                f"expected a time at {where}, got none that can be read, and the Kafka record has "
                f"none from {self._mapping.timestamp_earliest} on",
            )
        return times.record_ms, False

    def _not_absurd_ms(self, found: Found, times: Times) -> int:
        time_ms = _time_ms(found, self._zone)
        if time_ms < times.earliest_ms:
            earliest = self._mapping.timestamp_earliest
            raise found.refusal("absurd_timestamp", f"a time from {earliest} on")
        return time_ms

    def _behind_its_record(
        self, root: Root, form: int, times: Times, found: Found, said_ms: int
    ) -> tuple[int, bool]:
        """The time of an event that says it is from after its record."""
        sent_ms = self._sent_ms(root, form, times)
        skew_ms = max(sent_ms - times.limit_ms, 0)
        if self._mapping.strict and said_ms - skew_ms - times.limit_ms > times.ahead_max_ms:
            ahead_max = self._mapping.timestamp_ahead_max
            raise found.refusal(
                "absurd_timestamp", f"a time at most {ahead_max} after that of its record"
            )
        is_ahead = said_ms - times.limit_ms > times.ahead_max_ms
        return corrected_ms(said_ms, sent_ms, times.limit_ms, times.earliest_ms), is_ahead

    def _sent_ms(self, root: Root, form: int, times: Times) -> int:
        """When the sender says that it sent; that of the record where nothing can be read."""
        for path in self._paths.sent_at[form]:
            sent = first_present(root, (path,))
            if sent is not None:
                try:
                    return self._not_absurd_ms(sent, times)
                except Refused:
                    continue  # nothing is lost: it was only to tell how wrong a clock is
        return times.limit_ms


def _time_ms(found: Found, zone: tzinfo) -> int:
    value = found.value
    try:
        if isinstance(value, EpochMs):
            return int(value.text)
        if isinstance(value, JsonNumber):
            return epoch_ms(value.text)
        if isinstance(value, str):
            return epoch_ms(value) if JSON_NUMBER.fullmatch(value) else text_ms(value, zone)
    except (ValueError, ArithmeticError) as exc:
        raise found.refusal("bad_timestamp", "ISO 8601 or the epoch in s, ms, us or ns") from exc
    raise found.refusal("bad_type", "a time as a string or a number")
