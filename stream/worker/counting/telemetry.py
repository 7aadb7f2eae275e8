"""What the worker counts, and the summary line that says it.

Counters and histograms are filled per chunk and read once an interval; the names are those of the
line, and docs/operations.md says what to do when one moves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stream.columns import Int64s
from stream.events.flaws import Flaws
from stream.features.kernel import (
    DROPPED_LATE,
    FORGOTTEN_ROWS,
    LATE,
    MERGED_ROWS,
    REPEATED,
    REPLAYED,
    UNKNOWN_ROWS,
)
from stream.pipeline import Step

_BUCKETS_PER_DOUBLING = 8
_BUCKETS = 40 * _BUCKETS_PER_DOUBLING  # 1 ms to 2**40 ms with nine percent between neighbours


class Histogram:
    """Counts of durations in buckets that grow by nine percent: constant memory, any range."""

    def __init__(self) -> None:
        self._count = np.zeros(_BUCKETS, np.int64)

    def add_ms(self, durations_ms: Int64s | np.ndarray[Any, Any]) -> None:
        """Adds durations in milliseconds; below one counts as one."""
        log = np.log2(np.maximum(durations_ms, 1.0)) * _BUCKETS_PER_DOUBLING
        index = np.minimum(log.astype(np.int64), _BUCKETS - 1)
        self._count += np.bincount(index, minlength=_BUCKETS)

    def quantile_ms(self, q: float) -> float | None:
        """Upper edge of the bucket of the q-quantile, None when empty."""
        total = int(self._count.sum())
        if total == 0:
            return None
        rank = int(np.searchsorted(np.cumsum(self._count), q * total))
        return round(float(2.0 ** ((rank + 1) / _BUCKETS_PER_DOUBLING)), 1)


@dataclass(slots=True)
class Window:
    """What happened since the last summary line."""

    records: int = 0
    decisions: int = 0
    explored: int = 0
    held_out: int = 0
    chunks: int = 0
    replayed: int = 0
    duplicates: int = 0
    late: int = 0
    dropped_late: int = 0
    silent: int = 0
    empty_batches: int = 0
    consent_unreadable: int = 0
    key_null: int = 0
    key_not_customer: int = 0
    tombstones: int = 0
    forgotten: int = 0
    logins: int = 0
    carried_over: int = 0
    login_unknown: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    ahead: int = 0
    present: Int64s | None = None
    types: Int64s | None = None
    strategies: Counter[str] = field(default_factory=Counter)
    changelog_rows: int = 0
    changelog_bytes: int = 0
    busy_s: float = 0.0
    chunk_ms: Histogram = field(default_factory=Histogram)
    ack_ms: Histogram = field(default_factory=Histogram)
    end_to_end_ms: Histogram = field(default_factory=Histogram)

    def add(self, records: int, step: Step, strategies: Sequence[str], took_s: float) -> None:
        """Counts one chunk.

        Args:
            records: Records of the chunk, of a batch its events.
            step: What came of it.
            strategies: Names of the strategies, "nothing" last.
            took_s: Time that it was computed in.
        """
        self.chunks += 1
        self.records += records
        self.decisions += step.decided
        self.explored += step.explored
        self.held_out += step.held_out
        self.busy_s += took_s
        self.chunk_ms.add_ms(np.array([took_s * 1e3]))
        self.late += int(step.counters[LATE])
        self.dropped_late += int(step.counters[DROPPED_LATE])
        self.replayed += int(step.counters[REPLAYED])
        self.duplicates += int(step.counters[REPEATED])
        self.silent += step.silent
        self.empty_batches += step.flaws.empty_batches
        self.consent_unreadable += step.unreadable
        self.key_null += step.keys.null
        self.key_not_customer += step.keys.differ
        self.tombstones += step.tombstones
        self.forgotten += int(step.counters[FORGOTTEN_ROWS])
        self.logins += len(step.previous)
        self.carried_over += int(step.counters[MERGED_ROWS])
        self.login_unknown += int(step.counters[UNKNOWN_ROWS])
        self.rejects.update(reject.code for reject in step.rejects)
        self._add_flaws(step.flaws)
        for i in np.flatnonzero(step.strategies).tolist():
            self.strategies[strategies[i]] += int(step.strategies[i])

    def _add_flaws(self, flaws: Flaws) -> None:
        self.ahead += flaws.ahead
        if flaws.examples:
            self.unreadable += flaws.by_path()
            self.examples = {**flaws.examples, **self.examples}
        if flaws.paths:  # else nothing was decoded
            self.present = flaws.present + (0 if self.present is None else self.present)
            self.types = flaws.types + (0 if self.types is None else self.types)

    def summary(self, interval_s: float) -> dict[str, Any]:
        """Fields of the summary line that follow from the window alone."""
        return {
            "win_s": round(interval_s, 1),
            "events_s": round(self.records / interval_s),
            "decisions_s": round(self.decisions / interval_s),
            "chunks": self.chunks,
            "chunk_ms_p50": self.chunk_ms.quantile_ms(0.5),
            "chunk_ms_p99": self.chunk_ms.quantile_ms(0.99),
            "ack_ms_p50": self.ack_ms.quantile_ms(0.5),
            "ack_ms_p99": self.ack_ms.quantile_ms(0.99),
            "e2e_ms_p50": self.end_to_end_ms.quantile_ms(0.5),
            "e2e_ms_p99": self.end_to_end_ms.quantile_ms(0.99),
            "work_ratio": round(self.busy_s / interval_s, 2),
            "invalid": self.rejects.total(),
            "invalid_by": dict(self.rejects) or None,
            "unreadable": dict(self.unreadable.most_common(12)) or None,
            "ahead": self.ahead or None,
            "late": self.late,
            "dropped_late": self.dropped_late,
            "replayed": self.replayed,
            "duplicates": self.duplicates,
            "silent": self.silent or None,
            "empty_batches": self.empty_batches or None,
            "consent_unreadable": self.consent_unreadable or None,
            "key_null": self.key_null or None,
            "key_not_customer": self.key_not_customer or None,
            "tombstones": self.tombstones or None,
            "forgotten": self.forgotten or None,
            "logins": self.logins or None,
            "carried_over": self.carried_over or None,
            "login_unknown": self.login_unknown or None,
            "explored": self.explored or None,
            "held_out": self.held_out or None,
            "strategies": dict(self.strategies.most_common(12)) or None,
            "changelog_rows": self.changelog_rows,
            "changelog_mb": round(self.changelog_bytes / 1e6, 1),
        }


@dataclass(slots=True)
class Totals:
    """What happened since the worker started."""

    records: int = 0
    decisions: int = 0
    invalid: int = 0

    def add(self, window: Window) -> None:
        """Adds a finished window."""
        self.records += window.records
        self.decisions += window.decisions
        self.invalid += window.rejects.total()
