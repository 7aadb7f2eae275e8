"""The suppressions of a campaign, compiled: which events close which channel of a customer, and for how long.

Rules of this file
1. Whoever opens a channel again names the event; nothing else does before its time.
2. A value of a condition holds in the usual ways to write it: as it is, small, large, with a large
   first letter, and with one at each word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stream.campaign.consent_sections import SuppressionSpec
from stream.campaign.words import duration_ms
from stream.columns import Int64s, UInt64s
from stream.compiled.category_hash import category_hash
from stream.features.kernel_consent import FOR_EVER, LIFTS


@dataclass(frozen=True, slots=True)
class Closures:
    """What the kernel reads about closed channels; the attributes are those of `Tables`."""

    rules: Int64s
    conditions: Int64s
    values: UInt64s


def closed_channels(suppressions: Sequence[SuppressionSpec]) -> tuple[str, ...]:
    """The channels that can be closed, "*" for all; each has two words in a row."""
    return tuple(dict.fromkeys(spec.channel for spec in suppressions))


def closing_types(suppressions: Sequence[SuppressionSpec]) -> tuple[str, ...]:
    """The event types that close or open a channel."""
    return tuple(name for spec in suppressions for name in (*spec.events, *spec.lifted_by))


def closing_paths(suppressions: Sequence[SuppressionSpec]) -> tuple[str, ...]:
    """The paths of the categories that conditions look at."""
    return tuple(path for spec in suppressions for path in spec.where)


def compile_closures(
    suppressions: Sequence[SuppressionSpec],
    first_word: int,
    event_types: Sequence[str],
    category_paths: Sequence[str],
) -> Closures:
    """The tables of the kernel.

    Args:
        suppressions: Those of the campaign.
        first_word: Word of the first channel that can be closed.
        event_types: Event types by type code.
        category_paths: Paths of the categories that the decoder delivers.
    """
    channels = closed_channels(suppressions)
    rules: list[list[int]] = []
    conditions: list[list[int]] = []
    values: list[int] = []
    for spec in suppressions:
        first = len(conditions)
        for path, allowed in spec.where.items():
            hashes = [category_hash(way.encode()) for way in _ways(allowed)]
            conditions.append([category_paths.index(path), len(values), len(values) + len(hashes)])
            values += hashes
        word = first_word + 2 * channels.index(spec.channel)
        span_ms = duration_ms(spec.for_) if spec.for_ else FOR_EVER
        rules += [
            [event_types.index(name), word, span_ms, first, len(conditions)] for name in spec.events
        ]
        rules += [[event_types.index(name), word, LIFTS, 0, 0] for name in spec.lifted_by]
    return Closures(
        np.array(rules, np.int64).reshape(-1, 5),
        np.array(conditions, np.int64).reshape(-1, 3),
        np.array(values, np.uint64),
    )


def _ways(values: Sequence[str]) -> Iterator[str]:
    for value in values:
        yield from (value, value.lower(), value.upper(), value.capitalize(), value.title())
