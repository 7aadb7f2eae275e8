"""The suppressions of a campaign, compiled: which events close which channel of a customer, and for how long.

Rules of this file
1. Whoever opens a channel again names the event; nothing else does before its time.
2. A value of a condition holds in the usual ways to write it: as it is, small, large, with a large
   first letter, and with one at each word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream.campaign.consent_sections import SuppressionSpec
from stream.campaign.words import duration_ms
from stream.columns import Int64s, UInt64s
from stream.features.category_rows import CategoryRows, hashes_of
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


def compile_closures(
    suppressions: Sequence[SuppressionSpec],
    first_word: int,
    event_types: Sequence[str],
    categories: CategoryRows,
) -> Closures:
    """The tables of the kernel.

    Args:
        suppressions: Those of the campaign.
        first_word: Word of the first channel that can be closed.
        event_types: Event types by type code.
        categories: The rows that the decoder delivers; of a list one element has to be allowed.
    """
    channels = closed_channels(suppressions)
    rules: list[list[int]] = []
    conditions: list[list[int]] = []
    values: list[int] = []
    for spec in suppressions:
        first = len(conditions)
        for path, allowed in spec.where.items():
            hashes = hashes_of(allowed)
            row = categories.of_condition(path, hashes)
            conditions.append([row, len(values), len(values) + len(hashes)])
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
