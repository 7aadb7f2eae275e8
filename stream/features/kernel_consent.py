"""What a customer forbids, as words of the row: consent by purpose, and channels that are closed.

Under the rules of `kernel.py`. A word of consent is `time_ms << 2 | state`, and 0 when nothing was
said. A closed channel has two words: the event time at which it was closed, and until when it is.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from stream.columns import Bools, Int64s
from stream.features.kernel_tables import CLOCK_MS, Events, Tables

UNSAID, IN_FORCE, TAKEN_BACK, NOT_READ = range(4)
"""States of a word of consent: not said, granted, withdrawn, said in a word that nobody knows."""
STATE_BITS, STATE_MASK = 2, 3

RULE_TYPE, RULE_WORD, RULE_SPAN_MS, RULE_FIRST, RULE_END = range(5)
"""Fields of a rule about closed channels: type code; first word of the channel; how long it is closed,
`FOR_EVER`, or `LIFTS`; and which of the conditions have to hold."""
FOR_EVER, LIFTS = -1, 0
NEVER_AGAIN_MS = np.int64(2**62)

CONDITION_ROW, CONDITION_FIRST, CONDITION_END = range(3)
"""Fields of a condition: row of `Events.category`, and which values it may have."""

_inline = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_inline
def listen(
    first: int, said_of: npt.NDArray[np.int8], time_ms: int, i: int, repeated: bool, ints: Int64s,
    row: int,
) -> None:  # fmt: skip
    """Puts what event i says of consent in force; `first` is the word of the first purpose.

    A grant needs a time that is not before that of what is in force. Everything else counts as it
    arrives: a clock that is slow must not keep a withdrawal from working. Of an event that came before
    with another record only that is heard which denies and is not older.
    """
    for purpose in range(len(said_of)):
        said = said_of[purpose, i]
        if said == -1:
            continue
        word = first + purpose
        before_ms = ints[row, word] >> STATE_BITS
        if said == 1:
            if time_ms >= before_ms and not repeated:
                ints[row, word] = time_ms << STATE_BITS | IN_FORCE
        elif time_ms >= before_ms or not repeated:
            state = TAKEN_BACK if said == 0 else NOT_READ
            ints[row, word] = max(time_ms, before_ms) << STATE_BITS | state


@_inline
def close_channels(tables: Tables, events: Events, i: int, ints: Int64s, row: int) -> None:
    """Closes and opens channels by event i, from the clock of the row on."""
    for r in range(len(tables.rules)):
        if tables.rules[r, RULE_TYPE] != events.type_code[i] or not _holds(tables, events, i, r):
            continue
        word, span_ms = tables.rules[r, RULE_WORD], tables.rules[r, RULE_SPAN_MS]
        time_ms = events.time_ms[i]
        if span_ms == LIFTS:
            if time_ms >= ints[row, word]:
                ints[row, word + 1] = 0
            continue
        until_ms = NEVER_AGAIN_MS
        if span_ms > 0:
            until_ms = max(ints[row, CLOCK_MS], time_ms) + span_ms
        ints[row, word] = max(ints[row, word], time_ms)
        ints[row, word + 1] = max(ints[row, word + 1], until_ms)


@_inline
def _holds(tables: Tables, events: Events, i: int, rule: int) -> bool:
    """Whether event i meets all conditions of a rule."""
    for c in range(tables.rules[rule, RULE_FIRST], tables.rules[rule, RULE_END]):
        category = events.category[tables.conditions[c, CONDITION_ROW], i]
        found = False
        for v in range(tables.conditions[c, CONDITION_FIRST], tables.conditions[c, CONDITION_END]):
            found |= tables.values[v] == category
        if not found:
            return False
    return True


@_inline
def tell(
    tables: Tables, ints: Int64s, row: int, i: int,
    consent: npt.NDArray[np.int8], closed: Bools,
) -> None:  # fmt: skip
    """Writes what is in force: consent of each purpose, and which channels are closed."""
    for purpose in range(len(consent)):
        state = ints[row, tables.consent + purpose] & STATE_MASK
        consent[purpose, i] = -1 if state == UNSAID else 2 - state - (state == NOT_READ)
    for channel in range(len(closed)):
        until_ms = ints[row, tables.closed + 2 * channel + 1]
        closed[channel, i] = ints[row, CLOCK_MS] < until_ms
