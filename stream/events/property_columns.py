"""One column from the values of a field: numbers, categories, time zones, and what kernels leave to Python."""

from __future__ import annotations

import numpy as np

from stream.columns import Bools, Bytes, Float64s, Int64s, UInt64s
from stream.compiled.category_hash import category_hash
from stream.compiled.zone_set import known_zones
from stream.events.field_kernels import read_categories, read_numbers, refuse_or_count
from stream.events.scan import FLOAT64, Kinds


def number_column(
    data: Bytes, kind: Kinds, start: Int64s, size: Int64s, strict: bool, ok: Bools, out: Float64s,
    counts: Int64s,
) -> None:  # fmt: skip
    """Fills a column of numbers; Python rounds those with too many digits for the kernel."""
    inexact = np.empty(len(ok), np.int64)
    left = read_numbers(data, kind, start, size, strict, ok, out, inexact, counts)
    for i in inexact[:left].tolist():
        out[i] = float(data[start[i] : start[i] + size[i]].tobytes())
        if np.isinf(out[i]):
            out[i] = np.nan
            refuse_or_count(strict, ok, counts, i)


def category_column(
    data: Bytes, kind: Kinds, start: Int64s, size: Int64s, strict: bool, ok: Bools, out: UInt64s,
    counts: Int64s,
) -> None:  # fmt: skip
    """Fills a column of categories; Python has the text of a float64, the shortest that reads as it."""
    read_categories(data, kind, start, size, strict, ok, out, counts)
    for i in np.flatnonzero((kind == FLOAT64) & ok).tolist():
        value = float(start[i : i + 1].view(np.float64)[0])
        out[i] = category_hash(repr(value).encode())


def zone_column(
    data: Bytes, kind: Kinds, start: Int64s, size: Int64s, strict: bool, ok: Bools, out: UInt64s,
    counts: Int64s,
) -> None:  # fmt: skip
    """Fills a column with the hashes of the IANA names of time zones; another word cannot be read."""
    category_column(data, kind, start, size, strict, ok, out, counts)
    known = known_zones()
    at = np.minimum(np.searchsorted(known, out), len(known) - 1)
    unknown = ok & (out != 0) & (known[at] != out)
    out[unknown] = 0
    for i in np.flatnonzero(unknown).tolist():
        refuse_or_count(strict, ok, counts, i)
