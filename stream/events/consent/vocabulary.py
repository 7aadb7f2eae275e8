"""Words of consent: what campaign engines and consent tools write for yes and no.

Rules of this file
1. Words are compared folded: ASCII letters in lower case, without blanks, and without dashes and
   underscores that are not the first character ("-1" is no 1).
2. What no list knows is UNREADABLE. Nothing is guessed from a part of a word.
3. The kernel compares hashes of folded words, and so does Python: both know the same words.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from stream.columns import Bytes, UInt64s
from stream.compiled.category_hash import FNV_OFFSET, FNV_PRIME, category_hash

GRANTED, WITHDRAWN, NOT_SAID, UNREADABLE = 1, 0, -1, -2
"""What an event says of a purpose."""

_STRICTNESS = {NOT_SAID: 0, GRANTED: 1, UNREADABLE: 2, WITHDRAWN: 3}

_OPTED_OUT = "true yes y 1 1.0 on"
"""What a flag says that stands for an opt-out; any other word is no opt-out's word, but of denial."""
_OPTED_IN = "false no n 0 0.0 off"
_OF_XDM = 2  # a word that says nothing in XDM, and is unreadable elsewhere

_GRANTED = (
    "granted grant true yes y 1 1.0 on allow allowed accept accepted agree agreed approved authorized "
    "consented confirmed confirmed_opt_in opted_in opt_in single_opt_in double_opt_in double_opted_in "
    "subscribed subscribe active enabled"
)
_WITHDRAWN = (
    "denied deny false no n 0 0.0 off disallow disallowed unsubscribed unsubscribe unsub opted_out "
    "opt_out opt_out_all unsubscribed_all global_unsubscribe not_opted not_opted_in not_subscribed "
    "not_granted not_allowed revoked revoke withdrawn withdraw withdrew never never_subscribed cleaned "
    "blocked block blocklisted blacklisted suppressed declined decline rejected reject refused refuse "
    "disabled inactive bounced hard_bounce complained complaint spam pending unconfirmed expired invalid "
    "archived redacted deleted removed transactional do_not_contact dnc stop stopped cancelled canceled "
    "p dn"
)
_XDM = "u dy li ct cp vi pi"
"""In XDM: unknown, a default of yes, and grounds other than consent."""

_FOLDED = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz")
_BLANKS = b" \t\n\r"
_JOINTS = b"-_"
_DASH, _UNDERSCORE = _JOINTS
_FNV_OFFSET_U64, _FNV_PRIME_U64 = np.uint64(FNV_OFFSET), np.uint64(FNV_PRIME)

_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


def stricter_of(one: int, other: int) -> int:
    """Of two things that are said of a purpose the one that counts, wherever each was said."""
    return max(one, other, key=_STRICTNESS.__getitem__)


def stricter(one: npt.NDArray[np.int8], other: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """The same of arrays of one shape."""
    rank = np.array([_STRICTNESS[said] for said in range(UNREADABLE, GRANTED + 1)], np.int8)
    return np.where(rank[one - UNREADABLE] >= rank[other - UNREADABLE], one, other)


class Words(NamedTuple):
    """A hash table of folded words with open addressing.

    Attributes:
        hashes: Hash of the word in each slot, 0 where there is none. Shape (a power of two,), uint64.
        said: What it says. Same shape, int8.
    """

    hashes: UInt64s
    said: npt.NDArray[np.int8]


def fold(text: str) -> bytes:
    """A word as it is compared."""
    data = text.encode(errors="replace").translate(_FOLDED, _BLANKS)
    return data[:1] + data[1:].translate(None, _JOINTS)


def word_hash(text: str) -> int:
    """The hash of a folded word; never 0."""
    return category_hash(fold(text))


_OUT_HASHES = np.array([word_hash(word) for word in _OPTED_OUT.split()], np.uint64)
_IN_HASHES = np.array([word_hash(word) for word in _OPTED_IN.split()], np.uint64)


def compile_words(granted: Iterable[str] = (), withdrawn: Iterable[str] = ()) -> Words:
    """The words of this file and more of a campaign, which win over those of this file."""
    known: dict[int, int] = {}
    for words, said in (
        (_GRANTED.split(), GRANTED), (_WITHDRAWN.split(), WITHDRAWN), (_XDM.split(), _OF_XDM),
        (granted, GRANTED), (withdrawn, WITHDRAWN),
    ):  # fmt: skip
        known.update((word_hash(word), said) for word in words)
    size = 1 << (4 * len(known)).bit_length()
    table = Words(np.zeros(size, np.uint64), np.full(size, UNREADABLE, np.int8))
    for value, said in known.items():
        slot = value & (size - 1)
        while table.hashes[slot]:
            slot = (slot + 1) & (size - 1)
        table.hashes[slot], table.said[slot] = value, said
    return table


def said_by(words: Words, text: str, *, in_xdm: bool) -> int:
    """What a word says: GRANTED, WITHDRAWN, UNREADABLE, in XDM also NOT_SAID."""
    value, size = word_hash(text), len(words.hashes)
    slot = value & (size - 1)
    while words.hashes[slot] and int(words.hashes[slot]) != value:
        slot = (slot + 1) & (size - 1)
    return _meaning(int(words.said[slot]), in_xdm)


def said_of_opt_out(words: Words, text: str) -> int:
    """What a word says in a flag of opting out: WITHDRAWN, GRANTED or UNREADABLE."""
    value = word_hash(text)
    if value in _OUT_HASHES:
        return WITHDRAWN
    if value in _IN_HASHES:
        return GRANTED
    return WITHDRAWN if said_by(words, text, in_xdm=False) == WITHDRAWN else UNREADABLE


def _meaning(said: int, in_xdm: bool) -> int:
    if said == _OF_XDM:
        return NOT_SAID if in_xdm else UNREADABLE
    return said


@_inlined
def clear_word_hash(data: Bytes, start: int, size: int) -> np.uint64:
    """The numba form of `word_hash`, of plain UTF-8."""
    value = _FNV_OFFSET_U64
    begun = False
    for k in range(start, start + size):
        byte = data[k]
        if byte in (32, 9, 10, 13):  # blanks
            continue
        if begun and byte in (_DASH, _UNDERSCORE):
            continue
        begun = True
        if byte >= 65 and byte <= 90:
            byte |= 32
        value = (value ^ np.uint64(byte)) * _FNV_PRIME_U64
    return value if value != 0 else np.uint64(1)


@_inlined
def clear_said_by(words: Words, data: Bytes, start: int, size: int, in_xdm: bool) -> int:
    """The numba form of `said_by`."""
    value, mask = clear_word_hash(data, start, size), len(words.hashes) - 1
    slot = np.int64(value & np.uint64(mask))
    while words.hashes[slot] != 0 and words.hashes[slot] != value:
        slot = (slot + 1) & mask
    said = words.said[slot]
    if said == _OF_XDM:
        return NOT_SAID if in_xdm else UNREADABLE
    return int(said)


@_inlined
def clear_said_of_opt_out(words: Words, data: Bytes, start: int, size: int) -> int:
    """The numba form of `said_of_opt_out`."""
    value = clear_word_hash(data, start, size)
    if (value == _OUT_HASHES).any():
        return WITHDRAWN
    if (value == _IN_HASHES).any():
        return GRANTED
    said = clear_said_by(words, data, start, size, False)
    return WITHDRAWN if said == WITHDRAWN else UNREADABLE
