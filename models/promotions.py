"""The audit trail of a registry: one small file for each move of the champion, never changed.

Layout: history/000001.json, 000002.json, ...

Rules of this file
1. Append-only. A number is given once: of two who write the same one, one succeeds.
2. Each entry carries the hash of the one before it, so a changed or missing entry shows.
3. An entry is written before the pointers move, and the champion says what is true. A crash between
   the two leaves an entry of a move that did not happen: the next entry, or the pointer, tells.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from models.errors import NO_JSON, RegistryError
from models.store import Store

_NAME = re.compile(r"([0-9]{6,})\.json")
_ENTRY_BYTES_MAX = 1 << 16
_WHY_CHARS_MAX = 4_000

Action = Literal["promote", "rollback"]


class Move(Struct, frozen=True, kw_only=True):
    """One move of the champion.

    Attributes:
        number: 1 for the first.
        time: When, UTC.
        by: Who, user@host.
        action: Which command.
        champion: The champion from then on.
        before: The champion until then; None when there was none.
        why: The verdict, or the reason that was given.
        parent: SHA-256 of the file before this one; empty for the first.
    """

    number: int
    time: Annotated[datetime, Meta(tz=True)]
    by: str
    action: Action
    champion: str
    before: str | None
    why: str
    parent: str


@dataclass(frozen=True)
class Tail:
    """The newest entry as it stands in the store; number 0 when there is none."""

    number: int
    data: bytes

    def move(self) -> Move | None:
        """What it says; None when there is none, or when it cannot be read."""
        try:
            return msgspec.json.decode(self.data, type=Move) if self.number else None
        except NO_JSON:
            return None  # a damaged audit trail must not keep anybody from a rollback

    def before(self, champion: str | None) -> str | None:
        """The champion before this one, if it is the newest entry that made it the champion."""
        last = self.move()
        return last.before if last is not None and last.champion == champion else None


class History:
    """The entries in a folder."""

    def __init__(self, folder: Store) -> None:
        self._folder = folder

    def tail(self) -> Tail:
        """The newest entry.

        Raises:
            OSError: The store cannot be reached.
        """
        numbers = self._numbers()
        if not numbers:
            return Tail(0, b"")
        return Tail(numbers[-1], self._read(numbers[-1]))

    def append(
        self, tail: Tail, action: Action, champion: str, before: str | None, why: str
    ) -> None:
        """Writes the entry after `tail`.

        Raises:
            FileExistsError: Somebody else has written it since `tail` was read.
            OSError: The store cannot be reached or refuses.
        """
        move = Move(
            number=tail.number + 1,
            time=datetime.now(UTC).replace(microsecond=0),
            by=who(),
            action=action,
            champion=champion,
            before=before,
            why=why[:_WHY_CHARS_MAX],
            parent=_sha256(tail.data) if tail.number else "",
        )
        data = msgspec.json.format(msgspec.json.encode(move), indent=2) + b"\n"
        self._folder.create(_name(move.number), data)

    def moves(self) -> list[Move]:
        """Every entry, the oldest first.

        Raises:
            RegistryError: An entry was changed or is missing.
            OSError: The store cannot be reached.
        """
        moves: list[Move] = []
        parent = ""
        for number in self._numbers():
            data, where = self._read(number), f"{self._folder.root}/{_name(number)}"
            if len(data) > _ENTRY_BYTES_MAX:
                raise RegistryError(
                    f"{where}: expected {_ENTRY_BYTES_MAX} bytes at most, got more; the history "
                    "was changed"
                )
            try:
                move = msgspec.json.decode(data, type=Move)
            except NO_JSON as exc:
                raise RegistryError(f"{where}: {exc}; the history was changed") from exc
            if (move.number, number, move.parent) != (number, len(moves) + 1, parent):
                raise RegistryError(
                    f"{where}: expected entry {len(moves) + 1} after the one with sha256 "
                    f"{parent or 'of none'}, got {move.number} after {move.parent or 'none'}; the "
                    "history was changed, or a part of it removed"
                )
            moves.append(move)
            parent = _sha256(data)
        return moves

    def _numbers(self) -> list[int]:
        found = (_NAME.fullmatch(name) for name in self._folder.files())
        return sorted(int(match[1]) for match in found if match)

    def _read(self, number: int) -> bytes:
        return self._folder.read(_name(number), _ENTRY_BYTES_MAX)


def _name(number: int) -> str:
    return f"{number:06d}.json"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def who() -> str:
    """Who runs this process, user@host; a number where the user has no name."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
