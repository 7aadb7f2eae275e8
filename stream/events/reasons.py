"""The last word on one record: the fields of the event, or the reason why it is none.

The plain and slow counterpart of `stream.events.scan` and `stream.events.fields`, for the few records that these
give up on. Where they do answer, both answer the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from stream.campaign.file import EventMapping
from stream.columns import CategoryColumn
from stream.events.consent.hearing import Hearing
from stream.events.consent.vocabulary import GRANTED, NOT_SAID, stricter_of
from stream.events.fields import CUSTOMER_BYTES_MAX
from stream.events.id_kernels import plain_word
from stream.events.json_object import json_object
from stream.events.lists.judged_lists import kept, list_categories, list_number
from stream.events.paths import (
    CUSTOMER,
    EVENT_ID,
    FIRST_NUMBER,
    PREVIOUS,
    TYPE,
    EventPaths,
    Paths,
)
from stream.events.present import (
    Event,
    Found,
    Refused,
    Root,
    first_present,
    is_envelope,
)
from stream.events.scalars import plain_category, plain_id, plain_number, plain_zone
from stream.events.times.judged_times import TimeJudge, Times, Unreadable

_Value = TypeVar("_Value")
_BLANK = frozenset({b""})


@dataclass(frozen=True, slots=True)
class Judged:
    """An event, and what is counted of it.

    Attributes:
        event: The event.
        present: Indices in `EventPaths.counted` of the values that came: of a list once for each.
        unreadable: What could not be read: index in `EventPaths.counted`, and one sentence.
        is_ahead: Whether its time was too far ahead of its record.
        is_identified: Whether its customer stands at the first of the paths, and is no fallback.
    """

    event: Event
    present: list[int]
    unreadable: Unreadable
    is_ahead: bool
    is_identified: bool


class Judge:
    """Judges records by the mapping and the declared properties of one campaign.

    Args:
        mapping: Where the parts of an event stand.
        paths: The same, compiled.
        types: Declared event types.
        hearing: Reads what is said of consent.
        columns: What is kept of lists of categories and of time zones.
    """

    def __init__(
        self,
        mapping: EventMapping,
        paths: EventPaths,
        types: Sequence[str],
        hearing: Hearing,
        columns: Sequence[CategoryColumn] = (),
    ) -> None:
        self._columns = columns
        self._hearing = hearing
        self._mapping = mapping
        self._paths = paths
        self._times = TimeJudge(mapping, paths)
        self._no_ids = frozenset(plain_word(word.encode()) for word in ("", *mapping.no_ids))
        self._type_code = {name: code for code, name in reversed(list(enumerate(types)))}
        self._logins = {code for code, name in enumerate(types) if name in mapping.login_events}

    def judge(self, value: bytes | None, times: Times) -> Judged:
        """The event that a record's value says.

        Args:
            value: The value of the record, None for null.
            times: What its time may be.

        Raises:
            Refused: It is no event.
        """
        return self.judge_root(json_object(self.bounded(value)), times)

    def judge_root(self, root: Root, times: Times) -> Judged:
        """The event of a value that was read already, else as `judge`.

        Args:
            root: Of str, bool, None, `JsonNumber`, dict and list, or an element over such; bytes are no text.
            times: What its time may be.

        Raises:
            Refused: It is no event.
        """
        form = int(self._unwrapped(root))
        fields = self._paths.enveloped if form else self._paths.bare
        found = [first_present(root, paths) for paths in fields]
        customer, is_identified = self._customer(root, fields[CUSTOMER], form)
        consent = self._said(root, form)
        try:
            return self._judged(root, form, found, times, (customer, is_identified), consent)
        except Refused as exc:
            exc.denial = self._denial(root, form, times, customer, consent)
            raise

    def _judged(
        self, root: Root, form: int, found: Sequence[Found | None], times: Times,
        customer: tuple[bytes, bool], consent: list[int],
    ) -> Judged:  # fmt: skip
        """The event of a customer; of whom it is told, too, whether they are no fallback."""
        unreadable: Unreadable = []
        event_id = self._event_id(root, form, unreadable)
        type_code = self._type(found[TYPE])
        time_ms, is_ahead = self._times.time_ms(root, form, times, unreadable)
        present: list[int] = []
        numbers, categories = self._properties(found[FIRST_NUMBER:], present, unreadable)
        event = Event(
            customer[0], event_id, time_ms, type_code, consent, numbers, categories,
            self._previous(root, form, type_code, *customer),
        )  # fmt: skip
        return Judged(event, present, unreadable, is_ahead, customer[1])

    def denial(self, root: Root, times: Times) -> Event | None:
        """What is denied by something that is no event whatever it says, as `Refused.denial`."""
        form = int(self._unwrapped(root))
        fields = self._paths.enveloped if form else self._paths.bare
        try:
            customer, _ = self._customer(root, fields[CUSTOMER], form)
        except Refused:
            return None
        return self._denial(root, form, times, customer, self._said(root, form))

    def _said(self, root: Root, form: int) -> list[int]:
        """What is said of consent; of an element and the record around it the stricter."""
        if isinstance(root, dict):
            return self._hearing.said(root, is_envelope=bool(form))
        layers = (root.element, root.record)
        said = [self._hearing.said(one, is_envelope=self._unwrapped(one)) for one in layers]
        return [stricter_of(own, around) for own, around in zip(*said, strict=True)]

    def _unwrapped(self, root: Root) -> bool:
        return self._paths.unwraps and is_envelope(root)

    def _properties(
        self, found: Sequence[Found | None], present: list[int], unreadable: Unreadable
    ) -> tuple[list[float], list[int]]:
        """The numbers and categories; what comes and what cannot be read is noted by its path."""
        numbers: list[float] = []
        categories: list[int] = []
        of_columns: dict[str, list[int]] = {}
        singles_end = self._paths.numbers + self._paths.singles
        for k, (here, tail) in enumerate(zip(found, self._paths.tails, strict=True)):
            read = partial(self._read, k, present, unreadable)
            if k < self._paths.numbers:
                number = (
                    list_number(here, tail, plain_number, read)
                    if tail
                    else read(plain_number, here)
                )
                numbers.append(number)
            elif k < singles_end:
                categories.append(read(plain_category, here))
            else:
                of_columns[self._paths.properties[k]] = (
                    list_categories(here, tail, plain_category, read)
                    if tail
                    else [read(plain_zone, here)]
                )
        categories += [kept(column, of_columns[column.path]) for column in self._columns]
        return numbers, categories

    def _denial(
        self, root: Root, form: int, times: Times, customer: bytes, consent: list[int]
    ) -> Event | None:
        """What a record denies that is no event; a grant needs an event."""
        denied = [NOT_SAID if said == GRANTED else said for said in consent]
        if set(denied) <= {NOT_SAID}:
            return None
        try:
            time_ms, _ = self._times.time_ms(root, form, times, [])
        except Refused:
            time_ms = max(times.record_ms, 0)
        categories = self._paths.singles + len(self._columns)
        return Event.bare(customer, time_ms, denied, self._paths.numbers, categories)

    def unreadable(self, root: dict[str, Any]) -> list[tuple[str, str]]:
        """What a record, or an element, says of consent that nobody can read: path and text of each."""
        return self._hearing.unreadable(root, is_envelope=is_envelope(root))

    def _read(
        self,
        path: int,
        present: list[int],
        unreadable: Unreadable,
        reading: Callable[[Found | None], _Value],
        found: Found | None,
    ) -> _Value:
        """The value of an optional field; what cannot be read is missing, and noted by its path."""
        present += [path] if found is not None else []
        try:
            return reading(found)
        except Refused as exc:
            if self._mapping.strict:
                raise
            unreadable.append((path, str(exc)))
            return reading(None)

    def bounded(self, value: bytes | None) -> bytes:
        """A value that is there and not too long, in whatever format.

        Raises:
            Refused: It is null or too long.
        """
        if value is None:
            raise Refused("null_value", "expected a JSON object, got a null value (a tombstone)")
        limit = self._mapping.value_bytes_max
        if len(value) > limit:
            raise Refused("oversize", f"expected at most {limit} bytes, got {len(value)}")
        return value

    def _customer(self, root: Root, paths: Paths, form: int) -> tuple[bytes, bool]:
        """The customer, and whether it is no fallback."""
        customer, found = self._first_id(root, paths, self._no_ids)
        if customer is None or found is None:
            raise Refused("missing_customer", self._absent("a customer id", CUSTOMER))
        if len(customer) > CUSTOMER_BYTES_MAX:
            raise found.refusal("customer_too_long", f"at most {CUSTOMER_BYTES_MAX} bytes of UTF-8")
        return customer, found.path in self._paths.own_customer(form)

    def _first_id(
        self, root: Root, paths: Paths, no_ids: AbstractSet[bytes]
    ) -> tuple[bytes | None, Found | None]:
        """The first id that is none of the words which say that there is none, and where it is."""
        for path in paths:
            found = first_present(root, (path,))
            text = plain_id(found, CUSTOMER_BYTES_MAX)
            if text is not None and plain_word(text) not in no_ids:
                return text, found
        return None, None

    def _event_id(self, root: Root, form: int, unreadable: Unreadable) -> bytes | None:
        """The first event id that can be read; what cannot is noted by its path."""
        paths = (self._paths.enveloped if form else self._paths.bare)[EVENT_ID]
        for path, counted in zip(paths, self._paths.event_ids(form), strict=True):
            try:
                text, _ = self._first_id(root, (path,), _BLANK)
            except Refused as exc:
                if self._mapping.strict:
                    raise
                unreadable.append((counted, str(exc)))
                continue
            if text is not None:
                return text
        return None

    def _previous(
        self, root: Root, form: int, type_code: int, customer: bytes, is_identified: bool
    ) -> bytes | None:
        """The id before the login that an event tells of; one that cannot be read is none."""
        if not is_identified or type_code not in self._logins:
            return None
        for path in (self._paths.enveloped if form else self._paths.bare)[PREVIOUS]:
            try:
                text, _ = self._first_id(root, (path,), self._no_ids)
            except Refused:
                return None
            if text is not None:
                return text if text != customer and len(text) <= CUSTOMER_BYTES_MAX else None
        return None

    def _type(self, found: Found | None) -> int:
        if found is None:
            raise Refused("missing_type", self._absent("an event type", TYPE))
        if not isinstance(found.value, str):
            raise found.refusal("bad_type", "an event type as a string")
        return self._type_code.get(found.value, -1)

    def _absent(self, expected: str, field: int) -> str:
        return f"expected {expected} at {' or '.join(self._paths.bare[field])}, got nothing there"
