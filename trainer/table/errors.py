"""What is wrong with a table: where, what was expected, what came."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from stream.errors import OperatorError

_SHOWN_MAX = 3


class TableError(OperatorError):
    """A table cannot be read as the campaign file says; the message says where and what to do."""


def wrong_value(column: str, row: int, expected: str, got: object, more: int = 0) -> TableError:
    """A value that cannot be read.

    Args:
        column: Its column.
        row: Its row, from 0 on; rows are told from 1 on, without the heading.
        expected: What it should be.
        got: What it is; None for nothing.
        more: Further rows with the like.
    """
    shown = "nothing" if got is None else f'"{got}"'
    others = f", and the like in {more:,} more" if more else ""
    return TableError(
        f'column "{column}", row {row + 1:,}: expected {expected}, got {shown}{others}'
    )


def missing_column(setting: str, name: str, columns: Sequence[str]) -> TableError:
    """A column that the campaign file names and the table does not have."""
    return TableError(
        f'at {setting}: expected a column of the table, got "{name}"; {closest(name, columns)}'
    )


def closest(name: str, known: Sequence[str]) -> str:
    """The known names that are most like one, in words."""
    names = ", ".join(nearest(name, known)[:_SHOWN_MAX])
    return f"the closest are {names}" if names else "there are none"


def nearest(name: str, known: Sequence[str]) -> list[str]:
    """The known names, those first that are most like one."""
    ratio = {one: difflib.SequenceMatcher(None, name.lower(), one.lower()).ratio() for one in known}
    return sorted(known, key=lambda one: -ratio[one])
