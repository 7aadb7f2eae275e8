"""How the values of records are written: the seam at which other formats than JSON come in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from stream.columns import Bools, Spans
from stream.events.paths import Trie
from stream.events.reasons import Judge
from stream.events.scan import Scan, scan


class Values(Protocol):
    """The values of n records, as far as they were read."""

    @property
    def found(self) -> Scan:
        """Where the wanted ones stand; what is not ok in it, `root` explains."""

    def root(self, i: int, value: bytes) -> dict[str, Any]:
        """Record i as the object that `Judge.judge_root` takes.

        Args:
            i: Index of the record.
            value: Its value.

        Raises:
            Refused: It has none.
        """


class ValueFormat(Protocol):
    """Reads the values of records."""

    def read(self, value: Spans, eligible: Bools, trie: Trie) -> Values:
        """Finds the wanted values in all eligible records.

        Args:
            value: Values of n records.
            eligible: The records to look at; they are not null. Shape (n,), bool.
            trie: The wanted paths.
        """


@dataclass(frozen=True, slots=True)
class _JsonValues:
    found: Scan
    judge: Judge

    def root(self, i: int, value: bytes) -> dict[str, Any]:
        return self.judge.object_of(value)


class Json:
    """JSON, whose last word has the judge."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    def read(self, value: Spans, eligible: Bools, trie: Trie) -> Values:
        """As `ValueFormat.read`."""
        return _JsonValues(scan(value, eligible, trie), self._judge)
