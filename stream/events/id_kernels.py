"""The numba loop from the ids that events say to the columns of customers and event ids.

Rules of this file
1. An id is a string or a whole number; of a number the digits, however it was written.
2. White space is no id, and neither are the words that senders write where they have none
   (`events.no_ids`): the next path is tried.
3. What is unclear to the kernel is for `stream.events.reasons`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numba
import numpy as np

from stream.columns import Bools, Bytes, Int16s, Int64s
from stream.compiled.borrow import borrow
from stream.events.json_tokens import MINUS, POINT, ZERO, after_space, digits_end, is_space
from stream.events.scan import MISSING, NULL, NUMBER, STRING, Kinds

_A, _Z, _SPACE = b"AZ "
_CASE = 0x20

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


class NoIds(NamedTuple):
    """Words that are no id, in lower case and without white space around them.

    Attributes:
        words: Back to back, UTF-8. Shape (bytes,), uint8.
        ends: Where each ends. Shape (words,), int64.
        may_be: Whether a word has so many bytes and begins so, in any case. Shape (longest + 1, 256), bool.
    """

    words: Bytes
    ends: Int64s
    may_be: Bools


def no_ids(words: Iterable[str]) -> NoIds:
    """The words as kernels read them; `is_no_id` says the same of one text."""
    encoded = sorted({plain_word(word.encode()) for word in words} - {b""})
    may_be = np.zeros((max(map(len, encoded), default=0) + 1, 256), np.bool_)
    for word in encoded:
        may_be[len(word), [word[0], word[:1].upper()[0]]] = True
    ends = np.cumsum([len(word) for word in encoded], dtype=np.int64)
    return NoIds(np.frombuffer(b"".join(encoded), np.uint8), ends, may_be)


def plain_word(text: bytes) -> bytes:
    """Text without white space around it and with ASCII letters in lower case."""
    return text.strip(b" \t\n\r").lower()


@_jit
def read_ids(
    data: Bytes, found_kind: Kinds, found_span: Int64s, form: Kinds, candidates: Int64s,
    first: Int64s, absent: NoIds, ok: Bools, chosen: Int64s, kind: Kinds, start: Int64s, size: Int64s,
) -> None:  # fmt: skip
    """The spans of one field of ids; sets `size` to -1 where there is none.

    Args:
        data: The buffer of the spans.
        found_kind: From the scan. Shape (n, nodes), uint8.
        found_span: From the scan. Shape (n, nodes, 2), int64.
        form: 1 for CloudEvents. Shape (n,), uint8.
        candidates: Nodes of all fields. Shape (candidates,), int64.
        first: Where the candidates of this field begin and end, by form. Shape (2, 2), int64.
        absent: What is no id.
        ok: Stays true where the id is clear. Shape (n,), bool.
        chosen: Candidate that is present first. Changed to that of the id. Shape (n,), int64.
        kind: Of the first candidate that is present, like `start` and `size`. Shape (n,).
        start: First byte. Changed to that of the id.
        size: Length in bytes. Changed to that of the id.
    """
    data = borrow(data)
    words, ends, may_be = borrow(absent.words), borrow(absent.ends), borrow(absent.may_be)
    for i in range(len(ok)):
        if not ok[i]:
            continue
        if kind[i] == MISSING:
            size[i] = -1
            continue
        what, at, length = int(kind[i]), start[i], size[i]
        if what == STRING and not _is_doubtful(data, at, length, may_be):
            continue  # by far the most
        c, last = first[form[i], 0], first[form[i], 1]
        length = _id_bytes(data, what, at, length, words, ends)
        while length == 0 and c < last:
            node = candidates[c]
            chosen[i] = c
            c += 1
            what = int(found_kind[i, node])
            if what > NULL:
                at = found_span[i, node, 0]
                length = _id_bytes(data, what, at, found_span[i, node, 1], words, ends)
        ok[i] = length >= 0
        start[i] = at
        size[i] = length or -1


@_jit
def keep_logins(
    data: Bytes, type_code: Int16s, logins: Bools, identified: Bools, ok: Bools,
    customer_start: Int64s, customer_size: Int64s, start: Int64s, size: Int64s, bytes_max: int,
) -> None:  # fmt: skip
    """Of the ids at `events.previous_id`, sets `size` to -1 where the event tells of no login.

    Args:
        data: The buffer of the spans.
        type_code: Of each event. Shape (n,), int16.
        logins: Whether a type is that of logins, by type code; the last entry, reached with -1, is
            False. Shape (types + 1,), bool.
        identified: Whether the customer is no fallback. Shape (n,), bool.
        ok: Records to look at. Shape (n,), bool.
        customer_start: First byte of the customer. Shape (n,), int64.
        customer_size: Its length.
        start: First byte of the id from before.
        size: Its length, -1 for none. Changed.
        bytes_max: Longest id of a customer.
    """
    for i in range(len(ok)):
        length = size[i]
        if not ok[i] or not logins[type_code[i]] or not identified[i] or length > bytes_max:
            size[i] = -1
        elif length == customer_size[i]:
            k = 0
            while k < length and data[start[i] + k] == data[customer_start[i] + k]:
                k += 1
            if k == length:
                size[i] = -1  # the customer itself


@_inlined
def _is_doubtful(data: Bytes, at: int, size: int, may_be: Bools) -> bool:
    """Whether a string may have white space at an end or be a word that is no id."""
    first = data[at]
    is_blank = first <= _SPACE or data[at + size - 1] <= _SPACE
    return bool(is_blank or (size < len(may_be) and may_be[size, first]))


@_jit
def _id_bytes(data: Bytes, kind: int, at: int, size: int, words: Bytes, ends: Int64s) -> int:
    """Length of the id that stands at `at`, 0 for none, -1 for what is unclear."""
    stop = at + size
    if kind == STRING:
        return 0 if _is_no_id(data, at, stop, words, ends) else size
    if kind != NUMBER:
        return -1
    begin = at + (data[at] == MINUS)
    whole = digits_end(data, begin, stop)
    if whole < stop:
        if data[whole] != POINT:
            return -1
        for k in range(whole + 1, stop):
            if data[k] != ZERO:
                return -1
    if begin > at and data[begin] == ZERO:
        return -1  # minus nothing
    return 0 if _is_no_id(data, at, whole, words, ends) else whole - at


@_jit
def _is_no_id(data: Bytes, at: int, stop: int, words: Bytes, ends: Int64s) -> bool:
    at = after_space(data, at, stop)
    while stop > at and is_space(data, stop - 1):
        stop -= 1
    if at == stop:
        return True
    begin = 0
    for w in range(len(ends)):
        if ends[w] - begin == stop - at:
            k = 0
            while at + k < stop and _lower(data[at + k]) == words[begin + k]:
                k += 1
            if at + k == stop:
                return True
        begin = ends[w]
    return False


@_inlined
def _lower(byte: int) -> int:
    return byte | _CASE if byte >= _A and byte <= _Z else byte
