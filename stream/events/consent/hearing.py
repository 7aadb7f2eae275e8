"""What one event says of consent: the plain and slow counterpart of `stream.events.consent.kernels`.

It has the last word where the kernel gives up. Where both answer, both answer the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from stream.events.consent.kernels import resolve
from stream.events.consent.places import (
    ALLOWED,
    AROUND,
    CATEGORIES,
    OPT_OUT,
    STRATEGY,
    XDM,
    ConsentPlaces,
    Place,
)
from stream.events.consent.vocabulary import (
    GRANTED,
    NOT_SAID,
    UNREADABLE,
    WITHDRAWN,
    said_by,
    said_of_opt_out,
    word_hash,
)
from stream.events.present import UnreadItems, UnreadMembers, first_present


@dataclass(slots=True)
class _Heard:
    """Sets of purposes as bits, and the texts that could not be read."""

    granted: int = 0
    withdrawn: int = 0
    unreadable: int = 0
    allowed: int = 0
    denied: int = 0
    lists_allowed: bool = False
    needs_any: bool = False
    texts: list[tuple[str, str]] = field(default_factory=list)

    def add(self, said: int, purposes: int) -> None:
        self.granted |= purposes if said == GRANTED else 0
        self.withdrawn |= purposes if said == WITHDRAWN else 0
        self.unreadable |= purposes if said == UNREADABLE else 0


class Hearing:
    """Reads what parsed events say.

    Numbers stand in the JSON as they were written: as objects with a `text`.

    Args:
        places: Where the purposes of a campaign stand.
    """

    def __init__(self, places: ConsentPlaces) -> None:
        self._places = places

    def said(self, root: dict[str, Any], *, is_envelope: bool) -> list[int]:
        """GRANTED, WITHDRAWN, NOT_SAID or UNREADABLE of each purpose."""
        heard = self._heard(root, is_envelope)
        return [
            WITHDRAWN if heard.withdrawn >> p & 1
            else UNREADABLE if heard.unreadable >> p & 1
            else GRANTED if heard.granted >> p & 1
            else NOT_SAID
            for p in range(self._places.count)
        ]  # fmt: skip

    def unreadable(self, root: dict[str, Any], *, is_envelope: bool) -> list[tuple[str, str]]:
        """What could not be read: path and text of each."""
        return self._heard(root, is_envelope).texts

    def _heard(self, root: dict[str, Any], is_envelope: bool) -> _Heard:
        places = self._places
        heard = _Heard()
        for place in places.enveloped if is_envelope else places.bare:
            found = first_present(root, (place.path,))
            if found is None:
                continue
            value = found.value
            if place.what <= XDM:
                opts_out = place.what == OPT_OUT
                said = (
                    self._opt_out(value)
                    if opts_out
                    else self._flag(value, in_xdm=place.what == XDM)
                )
                heard.add(said, 1 << place.purpose)
                self._note(heard, said, place.path, value)
            elif place.what == AROUND:
                if not isinstance(value, dict):
                    heard.add(UNREADABLE, place.purpose)
                    self._note(heard, UNREADABLE, place.path, value)
            elif place.what == STRATEGY:
                heard.needs_any |= isinstance(value, str) and value.lower() == "or"
            elif place.what == CATEGORIES:
                self._categories(heard, place, value)
            else:
                self._ids(heard, place, value)
        yes, no = resolve(
            heard.allowed, heard.denied, heard.lists_allowed, heard.needs_any, places.expected
        )
        heard.add(GRANTED, yes)
        heard.add(WITHDRAWN, no)
        return heard

    def _opt_out(self, value: Any) -> int:
        """The same where yes denies."""
        if isinstance(value, bool):
            return int(not value)
        text = _text(value)
        return UNREADABLE if text is None else said_of_opt_out(self._places.words, text)

    def _flag(self, value: Any, *, in_xdm: bool) -> int:
        """What one value says that is present."""
        if isinstance(value, bool):
            return int(value)
        text = _text(value)
        return UNREADABLE if text is None else said_by(self._places.words, text, in_xdm=in_xdm)

    def _categories(self, heard: _Heard, place: Place, value: Any) -> None:
        places = self._places
        if not isinstance(value, dict) or isinstance(value, UnreadMembers):
            heard.add(UNREADABLE, places.named)
            self._note(heard, UNREADABLE, place.path, value)
            return
        listed = 0
        for key, flag in value.items():
            if flag is None or flag == "":
                continue
            said = self._flag(flag, in_xdm=False)
            for purpose in places.owners.get(word_hash(key), ()):
                listed |= 1 << purpose
                heard.add(said, 1 << purpose)
                self._note(heard, said, f"{place.path}.{key}", flag)
        heard.add(WITHDRAWN, places.expected & ~listed)

    def _ids(self, heard: _Heard, place: Place, value: Any) -> None:
        places = self._places
        if not isinstance(value, list) or isinstance(value, UnreadItems):
            heard.add(UNREADABLE, places.named)
            self._note(heard, UNREADABLE, place.path, value)
            return
        for one in value:
            if one is None or one == "":
                continue
            text = _text(one)
            if text is None:
                heard.add(UNREADABLE, places.named)
                self._note(heard, UNREADABLE, place.path, one)
                continue
            listed = _bits(places.owners.get(word_hash(text), ()))
            if place.what == ALLOWED:
                heard.allowed |= listed
                heard.lists_allowed = True
            else:
                heard.denied |= listed

    @staticmethod
    def _note(heard: _Heard, said: int, path: str, value: Any) -> None:
        if said == UNREADABLE:
            heard.texts.append((path, _shown(value)))


def _text(value: Any) -> str | None:
    """A string, or a number as it was written; None for everything else."""
    if isinstance(value, str):
        return value
    text = getattr(value, "text", None)
    return text if isinstance(text, str) else None


def _shown(value: Any) -> str:
    text = _text(value)
    if text is not None:
        return text
    return (
        "an object"
        if isinstance(value, dict)
        else "an array"
        if isinstance(value, list)
        else str(value)
    )


def _bits(purposes: Sequence[int]) -> int:
    return sum(1 << p for p in purposes)
