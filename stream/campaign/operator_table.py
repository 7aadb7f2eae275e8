"""The feature operators, one row each: what the campaign file may say, and what a row keeps.

The names that a campaign file may use, the checks of an entry, its features and their words in a row
follow from here. A new operator is its row, and its kernel (`stream.features.kernel`, a word in `Kind` here and
its number in `stream.features.expansion`) unless one that is there will do; docs/features.md describes it to those who write campaign files.

Rules of this file
1. It knows neither the campaign file nor the compiled features: both are made of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Transform = Literal["log1p", "signlog", "none"]
Kind = Literal["sum", "share", "recency", "last", "window", "distinct", "cycle"]
"""What the kernel has a loop for."""

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class FeatureOperator:
    """One operator.

    Attributes:
        kind: Its kind in the kernel.
        transform: Transform of its values when the entry does not say.
        needs: Fields of an entry that it cannot do without.
        may: Fields that it uses besides.
        words: Words of a row that it keeps: so many, or "size" for one a tile or bucket; 0 when the
            header of the row is all it reads.
        reads: What its property is: a number, a category, or the name of the customer's time zone.
        merged: Whether an entry is one quantity over all its events, named after the property.
        ranged: Whether the property may be a range of numbers.
        endings: Of the names of its features, neighbours in the vector; "buckets" for one a bucket.
        label: What it is called in names, "" for the name of the operator.
        cycle_ms: Length of a cycle, and where one begins after the epoch.
    """

    kind: Kind
    transform: Transform
    needs: frozenset[str]
    may: frozenset[str]
    words: int | Literal["size"] = 1
    reads: Literal["number", "category", "zone"] = "number"
    merged: bool = False
    ranged: bool = False
    endings: tuple[str, ...] | Literal["buckets"] = ("",)
    label: str = ""
    cycle_ms: tuple[int, int] | None = None


def _row(
    kind: Kind, transform: Transform, needs: str = "", may: str = "", **more: Any
) -> FeatureOperator:
    fields = frozenset(needs.split()), frozenset(may.split())
    return FeatureOperator(kind, transform, *fields, **more)


OPERATORS = {
    "count": _row("sum", "log1p", "half_lives", "events"),
    "sum": _row("sum", "signlog", "property half_lives", "events", ranged=True),
    "recency": _row("recency", "log1p", may="events cap"),
    "tenure": _row("recency", "log1p", may="cap", words=0),
    "window_count": _row(
        "window", "log1p", "window", "events tile", words="size", label="count"
    ),
    "window_sum": _row(
        "window", "signlog", "property window", "events tile", words="size", ranged=True, label="sum"
    ),
    "last": _row(
        "last", "signlog", "property", "events", words=2, merged=True, ranged=True,
        endings=("", "_missing"),
    ),
    "share": _row(
        "share", "none", "property half_lives", "events buckets", words="size", reads="category",
        merged=True, endings="buckets",
    ),
    "distinct": _row(
        "distinct", "log1p", "property", "events window tile", words="size", reads="category",
        merged=True,
    ),
    "time_of_day": _row(
        "cycle", "none", may="property time_zone", words=0, reads="zone", endings=("_sin", "_cos"),
        cycle_ms=(_DAY_MS, 0),
    ),
    # The epoch was a Thursday: from Monday on.
    "day_of_week": _row(
        "cycle", "none", may="property time_zone", words=0, reads="zone", endings=("_sin", "_cos"),
        cycle_ms=(7 * _DAY_MS, 4 * _DAY_MS),
    ),
}  # fmt: skip
"""By the name in the campaign file."""
