"""Decimals that int64 does not hold, as text: rare, so one by one."""

from __future__ import annotations

import numpy as np

from stream.columns import Bools, Bytes, Int64s
from stream.events.scan import NUMBER, Kinds
from stream.formats.notes import LONG_DECIMAL, SCALE_SHIFT

_SIZE_MASK = (1 << SCALE_SHIFT) - 1


def write_decimals(data: Bytes, ok: Bools, kind: Kinds, span: Int64s, text_at: int) -> bytes:
    """Writes every LONG_DECIMAL out, and makes it a NUMBER.

    Args:
        data: The buffer of the spans.
        ok: Rows to look at. Shape (n,), bool.
        kind: Changed, as `span` is. Shape (n, nodes), uint8.
        span: Shape (n, nodes, 2), int64.
        text_at: Where the text will stand in the buffer of the spans.

    Returns:
        The text of all of them.
    """
    texts = []
    for i, node in np.argwhere((kind == LONG_DECIMAL) & ok[:, None]).tolist():
        start, packed = span[i, node].tolist()
        content = data[start : start + (packed & _SIZE_MASK)].tobytes()
        unscaled = int.from_bytes(content, signed=True)
        texts.append(decimal_text(unscaled, packed >> SCALE_SHIFT).encode())
        kind[i, node] = NUMBER
        span[i, node] = text_at, len(texts[-1])
        text_at += len(texts[-1])
    return b"".join(texts)


def decimal_text(unscaled: int, scale: int) -> str:
    """Unscaled / 10**scale with all digits after the point, as JSON has numbers."""
    sign = "-" if unscaled < 0 else ""
    digits = _digits(abs(unscaled)).rjust(scale + 1, "0")
    point = len(digits) - scale
    return f"{sign}{digits[:point]}.{digits[point:]}" if scale else sign + digits


def _digits(value: int) -> str:
    """Digits of a number of any size: `str` refuses more than 4,300."""
    parts = []
    while value >= 10**4000:
        value, part = divmod(value, 10**4000)
        parts.append(f"{part:04000d}")
    return "".join([str(value), *reversed(parts)])
