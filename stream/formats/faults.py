"""What can be wrong with the bytes of a value, as numbers that kernels return.

A kernel returns the position after what it read, or the negative code of a fault.
"""

from __future__ import annotations

(
    CUT, VARINT, LENGTH, UTF8, DEPTH, WORK, UNION, ENUM, BOOLEAN, BLOCK, TRAILING, TAG, WIRE, PACKED,
) = range(-1, -15, -1)  # fmt: skip

FAULTS = {
    CUT: "more bytes, but the value ends there",
    VARINT: "a varint of at most 10 bytes and 64 bits",
    LENGTH: "a length that stays inside the value",
    UTF8: "a string in UTF-8",
    DEPTH: "at most 64 records, arrays and maps inside each other",
    WORK: "a value whose items take bytes",
    UNION: "an index of one of the branches of the union",
    ENUM: "an index of one of the symbols of the enum",
    BOOLEAN: "a boolean, 0 or 1",
    BLOCK: "a block of the size that it says",
    TRAILING: "the end of the value, and more bytes came",
    TAG: "a field number from 1 to 536870911 and a wire type",
    WIRE: "a wire type 0, 1, 2, 3 or 5, and ends of groups that were begun",
    PACKED: "packed values that fill their length",
}
"""What was expected instead, by code."""
