"""Where the words of every operator stand in a row, and the kernel's tables for that layout.

Rules of this file
1. Everything that decides what a word means goes into the digest, nothing else: names, caps,
   transforms and normalization can change while the table of customers stays.
2. Words that decay with one half-life are neighbours: one factor, one contiguous loop.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import msgspec
import numpy as np

from stream.campaign.consent_sections import GENERAL, SuppressionSpec
from stream.campaign.field_path import has_list
from stream.columns import Float64s, Int64s
from stream.errors import CampaignError
from stream.features.category_rows import CategoryRows
from stream.features.closures import closed_channels, compile_closures
from stream.features.kernel import VERSION
from stream.features.kernel_consent import NEVER_AGAIN_MS, STATE_BITS, STATE_MASK
from stream.features.kernel_tables import (
    CLOCK_MS,
    COLUMN,
    DISTINCT,
    DISTINCT_LIST,
    FIRST_MS,
    GROUPS,
    HALF_LIFE,
    LAST,
    LOCAL_CYCLE,
    NEXT_OFFSET,
    PHASE_MS,
    PROPERTY,
    RECENCY,
    SHARE,
    SHARE_LIST,
    SIZE,
    SPAN_MS,
    WORD,
    Tables,
)
from stream.features.operators import ANY, UTC, Operator
from stream.state.marker import offset_of

WORDS_MAX = 4096
"""Words of a row, 32 KiB: a million customers are then 32 GiB."""

_CONSENTS = ("not said", "granted", "withdrawn", "unreadable")
_HEADER = ("clock_ms", "first_ms")
_FIELDS = PHASE_MS + 1
_LISTS = {SHARE: SHARE_LIST, DISTINCT: DISTINCT_LIST}


@dataclass(frozen=True, slots=True)
class Layout:
    """A row of the customer table.

    Attributes:
        topics: Input topics; the next offset of the first stands in word `NEXT_OFFSET`.
        purposes: What customers consent to; their words follow those of the topics.
        suppressions: What closes channels, whose words come next.
        operators: Operators in the order of their features.
        word: First word of each operator; of those without words, the header word they read.
        half_lives_ms: Half-lives, rising.
        decays_start: First word that decays with each half-life, and the word after the last.
        row_words: Words of a row.
        remembered: Event ids in its ring, in its last words; before them where the next one goes.
        emptied_by: What empties rows: "login", "tombstone". No word of its own, but what rows have seen.
    """

    topics: tuple[str, ...]
    purposes: tuple[str, ...]
    suppressions: tuple[SuppressionSpec, ...]
    operators: tuple[Operator, ...]
    word: tuple[int, ...]
    half_lives_ms: tuple[int, ...]
    decays_start: tuple[int, ...]
    row_words: int
    remembered: int = 0
    emptied_by: tuple[str, ...] = ()

    @property
    def ring(self) -> int:
        """The word that says where in the ring the next event id goes; the ring comes after it."""
        return self.row_words - (self.remembered + 1 if self.remembered else 0)

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that can be closed, "*" for all."""
        return closed_channels(self.suppressions)

    @property
    def consent(self) -> int:
        """Word of the first purpose."""
        return NEXT_OFFSET + len(self.topics)

    @property
    def closed(self) -> int:
        """First of the two words of the first channel that can be closed."""
        return self.consent + len(self.purposes)

    @property
    def digest(self) -> str:
        """12 hex digits that stand for the meaning of every word."""
        words = [
            [word, op.words, op.kind, op.events, op.path, op.half_life_ms, op.tile_ms]
            for word, op in zip(self.word, self.operators, strict=True)
            if op.words
        ]
        words.sort()
        header = [*_HEADER, self.purposes, self.suppressions]
        ring = [self.remembered] if self.remembered else []
        canonical = msgspec.json.encode(
            [VERSION, header, self.topics, words, *ring, *self.emptied_by]
        )
        return hashlib.sha256(canonical).hexdigest()[:12]

    def describe(self, words: Float64s) -> dict[str, Any]:
        """One row in words, for people. Shape (row_words,), float64."""
        ints = words.view(np.int64)
        return {
            "clock_ms": int(ints[CLOCK_MS]),
            "first_ms": int(ints[FIRST_MS]),
            "consent": {
                name: _describe_consent(word)
                for name, word in zip(self.purposes, ints[self.consent :].tolist(), strict=False)
            },
            "closed_until_ms": {
                channel: _until(int(ints[self.closed + 2 * k + 1]))
                for k, channel in enumerate(self.channels)
            },
            "next_offset": {
                topic: offset_of(word)
                for topic, word in zip(self.topics, ints[NEXT_OFFSET:].tolist(), strict=False)
            },
            "state": {
                operator.names[0]: _describe_operator(operator, words[word : word + operator.words])
                for operator, word in zip(self.operators, self.word, strict=True)
                if operator.words
            },
        }


def lay_out(
    operators: tuple[Operator, ...],
    topics: tuple[str, ...],
    remembered: int = 0,
    purposes: tuple[str, ...] = (GENERAL,),
    suppressions: tuple[SuppressionSpec, ...] = (),
    emptied_by: tuple[str, ...] = (),
) -> Layout:
    """Gives every operator its words, and the ring of event ids those behind them.

    Raises:
        CampaignError: A row would be larger than `WORDS_MAX`.
    """
    half_lives = sorted({op.half_life_ms for op in operators if op.half_life_ms})
    word = [FIRST_MS] * len(operators)
    decays_start = []
    channels = closed_channels(suppressions)
    end = NEXT_OFFSET + len(topics) + len(purposes) + 2 * len(channels)
    for half_life in (*half_lives, 0):  # what does not decay comes last
        decays_start.append(end)
        for o, op in enumerate(operators):
            if op.words and op.half_life_ms == half_life:
                word[o] = end
                end += op.words
    end += remembered + 1 if remembered else 0
    if end > WORDS_MAX:
        largest = max(operators, key=lambda op: op.words)
        raise CampaignError(
            f"at features: expected at most {WORDS_MAX} words of state per customer, got {end}; "
            f'"{largest.names[0]}" alone takes {largest.words}, events.repeats_remembered {remembered}'
        )
    return Layout(
        topics, purposes, suppressions, operators, tuple(word), tuple(half_lives),
        tuple(decays_start), end, remembered, emptied_by,
    )  # fmt: skip


def build_tables(
    layout: Layout,
    event_types: Sequence[str],
    number_paths: Sequence[str],
    categories: CategoryRows,
    zones: Sequence[str],
) -> Tables:
    """The kernel's tables for a layout and the columns that the decoder delivers.

    Args:
        layout: The layout.
        event_types: Event types by type code.
        number_paths: The rows of numbers.
        categories: The rows of categories.
        zones: The first zones of `Events.zones`, by name.
    """
    operators: list[list[list[int]]] = [[] for _ in range(LOCAL_CYCLE + 1)]
    place: list[int] = []  # of each operator in the table of its kind
    columns = accumulate((len(op.names) for op in layout.operators), initial=0)
    for op, word, column in zip(layout.operators, layout.word, columns, strict=False):
        fields = [0] * _FIELDS
        fields[COLUMN] = column
        fields[WORD] = word
        fields[SIZE] = zones.index(op.time_zone or UTC) if op.kind == LOCAL_CYCLE else op.size
        fields[PROPERTY] = _property(op, number_paths, categories)
        fields[HALF_LIFE] = layout.half_lives_ms.index(op.half_life_ms) if op.half_life_ms else -1
        fields[SPAN_MS] = op.span_ms
        fields[PHASE_MS] = op.phase_ms
        place.append(len(operators[op.kind]))
        operators[op.kind].append(fields)
    listeners, listeners_start = _listeners(layout.operators, place, event_types)
    closures = compile_closures(layout.suppressions, layout.closed, event_types, categories)
    return Tables(
        tuple(np.array(table, np.int64).reshape(-1, _FIELDS) for table in operators),
        listeners,
        listeners_start,
        np.array(layout.half_lives_ms, np.float64),
        np.array(layout.decays_start, np.int64),
        layout.consent,
        layout.closed,
        closures.rules,
        closures.conditions,
        closures.values,
        layout.ring,
        layout.remembered,
    )


def _property(op: Operator, number_paths: Sequence[str], categories: CategoryRows) -> int:
    """Row of `Events.number` or `Events.category`, -1 for none; of a LOCAL_CYCLE row of `Events.zone`."""
    if op.kind == LOCAL_CYCLE:
        return 1 + categories.of_zone(op.path) if op.path else 0
    if not op.path:
        return -1
    return categories.of_operator(op) if op.is_categorical else number_paths.index(op.path)


def _group(op: Operator) -> int:
    """Which listeners it belongs to: those of its kind, or those that look into lists."""
    is_list = op.is_categorical and has_list(op.path or "")
    return _LISTS[op.kind] if is_list else op.kind


def _listeners(
    operators: Sequence[Operator], place: Sequence[int], event_types: Sequence[str]
) -> tuple[Int64s, Int64s]:
    """`Tables.listeners` and `listeners_start`."""
    listeners: list[int] = []
    starts = np.zeros((len(event_types) + 1, GROUPS + 1), np.int64)
    groups = [_group(op) for op in operators]
    for code, event in enumerate((*event_types, ANY)):  # only ANY hears what is not declared
        for group in range(GROUPS):
            starts[code, group] = len(listeners)
            listeners += [
                place[o]
                for o, op in enumerate(operators)
                if groups[o] == group and {event, ANY} & set(op.events)
            ]
        starts[code, GROUPS] = len(listeners)
    return np.array(listeners, np.int64), starts


def _describe_consent(word: int) -> dict[str, Any]:
    return {"said": _CONSENTS[word & STATE_MASK], "time_ms": word >> STATE_BITS}


def _until(time_ms: int) -> int | str:
    return "for ever" if time_ms == NEVER_AGAIN_MS else time_ms


def _describe_operator(operator: Operator, words: Float64s) -> Any:
    ints = words.view(np.int64)
    if operator.kind == RECENCY:
        return {"last_ms": int(ints[0])}
    if operator.kind == LAST:
        return {"last_ms": int(ints[0]), "value": float(words[1])}
    if operator.kind == DISTINCT:
        return ints.tolist()
    return words.tolist() if len(words) > 1 else float(words[0])
