"""FNV-1a, 64 bits: what stands for a category in columns and rows, and for a word in tables."""

from __future__ import annotations

from typing import Final

FNV_OFFSET: Final = 0xCBF29CE484222325
FNV_PRIME: Final = 0x100000001B3
_ALL_64: Final = 0xFFFF_FFFF_FFFF_FFFF


def category_hash(text: bytes) -> int:
    """The hash of a category's plain UTF-8; never 0, which stands for a missing one."""
    value = FNV_OFFSET
    for byte in text:
        value = (value ^ byte) * FNV_PRIME & _ALL_64
    return value or 1
