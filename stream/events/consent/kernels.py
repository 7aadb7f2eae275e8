"""The numba loop over what events say of consent: from the values of a scan to a column per purpose.

Rules of this file
1. Any denial wins, then what cannot be read, then a grant: over all places of one event.
2. Sets of purposes are bits of an integer.
3. Nothing is guessed: `ok` becomes false where a container holds what these loops do not read, such
   as an escape, a container inside, or one name twice. `Hearing` decides there.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from stream.columns import Bools, Bytes, Int64s
from stream.compiled.borrow import borrow
from stream.events.consent.places import (
    ALLOWED,
    AROUND,
    CATEGORIES,
    FLAG,
    NODE,
    OPT_OUT,
    PURPOSE,
    STRATEGY,
    WHAT,
    XDM,
    ConsentTables,
)
from stream.events.consent.vocabulary import (
    GRANTED,
    NOT_SAID,
    UNREADABLE,
    WITHDRAWN,
    Words,
    clear_said_by,
    clear_said_of_opt_out,
    clear_word_hash,
)
from stream.events.json_tokens import QUOTE, after_space, number_end, string_end
from stream.events.scan import ARRAY, FALSE, NULL, NUMBER, OBJECT, STRING, TRUE, Kinds

_T, _F, _N = b"tfn"
_CLOSE_OBJECT, _CLOSE_ARRAY, _COMMA = b"}],"
_OPEN_OBJECT, _OPEN_ARRAY = b"{["
_LITERAL_SIZE = 4  # of true and null; false has one more
_OR = np.frombuffer(b"or", np.uint8)

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_jit
def hear(
    data: Bytes, found_kind: Kinds, found_span: Int64s, seen: Kinds, envelope: Int64s,
    tables: ConsentTables, ok: Bools, out: npt.NDArray[np.int8],
) -> None:  # fmt: skip
    """What each record says of each purpose.

    Args:
        data: The buffer of the spans.
        found_kind: From the scan. Shape (n, nodes), uint8.
        found_span: From the scan. Shape (n, nodes, 2), int64.
        seen: Largest kind of each node: places at which no record has something are not looked at.
            Shape (nodes,), uint8.
        envelope: Nodes of `specversion` and `data`, or -1. Shape (2,), int64.
        tables: The places.
        ok: Records to look at; false where it is not clear. Shape (n,), bool.
        out: Filled: GRANTED, WITHDRAWN, NOT_SAID, UNREADABLE. Shape (purposes, n), int8.
    """
    items, first = _present(seen, tables)
    data, kinds, spans, out = borrow(data), borrow(found_kind), borrow(found_span), borrow(out)
    for i in range(len(ok)):
        if not ok[i]:
            continue
        form = 0
        if envelope[0] >= 0:
            is_named = kinds[i, envelope[0]] == STRING
            form = 1 if is_named and kinds[i, envelope[1]] == OBJECT else 0
        granted, withdrawn, unreadable, has_containers = _flags(
            data, kinds, spans, i, items, first[form], first[form + 1], tables.words
        )
        if has_containers:
            ok[i], yes, no, not_read = _containers(data, found_kind, found_span, i, form, tables)
            granted, withdrawn, unreadable = granted | yes, withdrawn | no, unreadable | not_read
        for p in range(len(out)):
            if withdrawn >> p & 1:
                out[p, i] = WITHDRAWN
            elif unreadable >> p & 1:
                out[p, i] = UNREADABLE
            else:
                out[p, i] = GRANTED if granted >> p & 1 else NOT_SAID


@_jit
def _present(seen: Kinds, tables: ConsentTables) -> tuple[Int64s, Int64s]:
    """The places at which any record has something, and where those of each form begin and end."""
    items, first = np.empty_like(tables.items), np.zeros_like(tables.first)
    count = 0
    for form in range(len(tables.first) - 1):
        for k in range(tables.first[form], tables.first[form + 1]):
            if seen[tables.items[k, NODE]] > NULL:
                items[count] = tables.items[k]
                count += 1
        first[form + 1] = count
    return items, first


@_inlined
def _flags(
    data: Bytes, kinds: Kinds, spans: Int64s, i: int, items: Int64s, begin: int, end: int,
    words: Words,
) -> tuple[int, int, int, bool]:  # fmt: skip
    """Of record i: purposes granted, withdrawn, unreadable by flags; is there more than flags."""
    granted = withdrawn = unreadable = 0
    has_containers = False
    for k in range(begin, end):
        node, what = items[k, NODE], items[k, WHAT]
        kind = kinds[i, node]
        if kind <= NULL:
            continue
        if what == AROUND:
            is_blank = kind == STRING and spans[i, node, 1] == 0
            unreadable |= 0 if kind == OBJECT or is_blank else items[k, PURPOSE]
            continue
        if what > XDM:
            has_containers = True
            continue
        said = _flag(data, kind, spans[i, node, 0], spans[i, node, 1], what, words)
        bit = 1 << items[k, PURPOSE]
        granted |= bit if said == GRANTED else 0
        withdrawn |= bit if said == WITHDRAWN else 0
        unreadable |= bit if said == UNREADABLE else 0
    return granted, withdrawn, unreadable, has_containers


@_inlined
def _flag(data: Bytes, kind: int, start: int, size: int, what: int, words: Words) -> int:
    """What one value says that is not null; `what` is FLAG, OPT_OUT or XDM."""
    if kind == TRUE:
        return WITHDRAWN if what == OPT_OUT else GRANTED
    if kind == FALSE:
        return GRANTED if what == OPT_OUT else WITHDRAWN
    if kind not in (STRING, NUMBER):
        return UNREADABLE
    if size <= 0:
        return NOT_SAID
    if what == OPT_OUT:
        return clear_said_of_opt_out(words, data, start, size)
    return clear_said_by(words, data, start, size, what == XDM)


@_jit
def _containers(
    data: Bytes, found_kind: Kinds, found_span: Int64s, i: int, form: int, tables: ConsentTables
) -> tuple[bool, int, int, int]:
    """(is it clear, purposes granted, withdrawn, unreadable) by categories and lists of record i."""
    granted = withdrawn = unreadable = 0
    allowed = denied = 0
    lists_allowed = needs_any = False
    for k in range(tables.first[form], tables.first[form + 1]):
        node, what = tables.items[k, NODE], tables.items[k, WHAT]
        kind = found_kind[i, node]
        start, size = found_span[i, node, 0], found_span[i, node, 1]
        is_flag = what <= XDM or what == AROUND
        if is_flag or kind <= NULL or (kind == STRING and size == 0):
            continue
        if what == STRATEGY:
            needs_any |= kind == STRING and _is_or(data, start, size)
        elif what == CATEGORIES:
            if kind != OBJECT:
                unreadable |= tables.named
                continue
            is_clear, yes, no, not_read = _categories(data, start, tables)
            if not is_clear:
                return False, 0, 0, 0
            granted, withdrawn, unreadable = granted | yes, withdrawn | no, unreadable | not_read
        elif kind != ARRAY:
            unreadable |= tables.named
        else:
            is_clear, has_ids, listed, is_read = _ids(data, start, tables)
            if not is_clear:
                return False, 0, 0, 0
            unreadable |= 0 if is_read else tables.named
            if what == ALLOWED:
                allowed |= listed
                lists_allowed |= has_ids
            else:
                denied |= listed
    yes, no = resolve(allowed, denied, lists_allowed, needs_any, tables.expected)
    return True, granted | yes, withdrawn | no, unreadable


@_jit
def resolve(
    allowed: int, denied: int, lists_allowed: bool, needs_any: bool, expected: int
) -> tuple[int, int]:
    """Purposes granted and withdrawn by lists of ids; all sets as bits.

    Args:
        allowed: Purposes of which a name is listed as allowed.
        denied: Purposes of which a name is listed as denied.
        lists_allowed: Whether anything is listed as allowed.
        needs_any: Whether one name of a purpose is enough, and not each that is listed.
        expected: Purposes that a list denies which does not have them.
    """
    left_out = expected & ~(allowed | denied) if lists_allowed else 0
    if needs_any:
        return allowed, (denied & ~allowed) | left_out
    return allowed & ~denied, denied | left_out


@_jit
def _is_or(data: Bytes, start: int, size: int) -> bool:
    return size == 2 and data[start] | 32 == _OR[0] and data[start + 1] | 32 == _OR[1]


@_jit
def _categories(data: Bytes, at: int, tables: ConsentTables) -> tuple[bool, int, int, int]:
    """(is it clear, purposes granted, withdrawn, unreadable) by the object of flags at `at`."""
    stop = len(data)
    granted = withdrawn = unreadable = seen = said_of = 0
    at = after_space(data, at + 1, stop)
    while data[at] != _CLOSE_OBJECT:
        quote, has_escapes = string_end(data, at + 1, stop)
        if quote < 0 or has_escapes:
            return False, 0, 0, 0
        name = clear_word_hash(data, at + 1, quote - at - 1)
        at = after_space(data, after_space(data, quote + 1, stop) + 1, stop)
        kind, start, size, at = _value(data, at, stop)
        if at < 0:
            return False, 0, 0, 0
        said = NOT_SAID if kind == NULL else _flag(data, kind, start, size, FLAG, tables.words)
        for k in range(len(tables.names)):
            if tables.names[k] != name:
                continue
            if seen >> k & 1:
                return False, 0, 0, 0
            seen |= 1 << k
            bit = 1 << tables.owner[k]
            said_of |= bit if said != NOT_SAID else 0
            granted |= bit if said == GRANTED else 0
            withdrawn |= bit if said == WITHDRAWN else 0
            unreadable |= bit if said == UNREADABLE else 0
        at = after_space(data, at, stop)
        if data[at] == _COMMA:
            at = after_space(data, at + 1, stop)
    return True, granted, withdrawn | (tables.expected & ~said_of), unreadable


@_jit
def _ids(data: Bytes, at: int, tables: ConsentTables) -> tuple[bool, bool, int, bool]:
    """Of the array at `at`: (is it clear, has it ids, purposes that they name, are all of them ids)."""
    stop = len(data)
    listed, has_ids, is_read = 0, False, True
    at = after_space(data, at + 1, stop)
    while data[at] != _CLOSE_ARRAY:
        kind, start, size, at = _value(data, at, stop)
        if at < 0:
            return False, False, 0, False
        if kind in (TRUE, FALSE):
            is_read = False
        elif kind != NULL and size > 0:
            has_ids = True
            name = clear_word_hash(data, start, size)
            for k in range(len(tables.names)):
                if tables.names[k] == name:
                    listed |= 1 << tables.owner[k]
        at = after_space(data, at, stop)
        if data[at] == _COMMA:
            at = after_space(data, at + 1, stop)
    return True, has_ids, listed, is_read


@_jit
def _value(data: Bytes, at: int, stop: int) -> tuple[int, int, int, int]:
    """(kind, first byte, length, position after it) of a scalar in JSON that was passed.

    Position -1 for a container, or a string with escapes.
    """
    byte = data[at]
    if byte == QUOTE:
        end, has_escapes = string_end(data, at + 1, stop)
        if end < 0 or has_escapes:
            return STRING, 0, 0, -1
        return STRING, at + 1, end - at - 1, end + 1
    if byte in (_OPEN_OBJECT, _OPEN_ARRAY):
        return OBJECT, 0, 0, -1
    if byte in (_T, _N):
        return (TRUE if byte == _T else NULL), at, _LITERAL_SIZE, at + _LITERAL_SIZE
    if byte == _F:
        return FALSE, at, _LITERAL_SIZE + 1, at + _LITERAL_SIZE + 1
    end = number_end(data, at, stop)
    return NUMBER, at, end - at, end
