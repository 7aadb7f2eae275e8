"""Copying bytes between arrays inside numba loops, as one memcpy.

A Python-level loop over bytes costs about 2 ns a byte in compiled code, because negative indices and
overlap have to be ruled out for each; memcpy moves 200 bytes in a few nanoseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from stream.columns import Bytes


def _memcpy_code(
    _context: Any, out: Any, at: Any, source: Any, start: Any, size: Any
) -> tuple[Any, Callable[..., Any]]:
    """memcpy(out + at, source + start, size) for C-contiguous uint8 arrays."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to_type, _, from_type, _, _ = signature.args
        to_array, at_, from_array, start_, size_ = arguments
        to_struct = context.make_array(to_type)(context, builder, to_array)
        from_struct = context.make_array(from_type)(context, builder, from_array)
        to_pointer = builder.gep(to_struct.data, [at_])
        from_pointer = builder.gep(from_struct.data, [start_])
        one = ir.Constant(size_.type, 1)
        cgutils.raw_memcpy(builder, to_pointer, from_pointer, size_, one)  # type: ignore[no-untyped-call]  # numba
        return context.get_dummy_value()

    return types.void(out, types.int64, source, types.int64, types.int64), generate


_memcpy: Any = intrinsic(_memcpy_code)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def copy_bytes(source: Bytes, start: int, size: int, out: Bytes, at: int) -> int:
    """Copies `size` bytes from source[start] to out[at]; returns the position after them.

    A size below zero (null) copies nothing. The caller makes sure that both ranges lie inside their
    arrays and do not overlap.
    """
    # An early return: with the call inside an `if`, numba counts references on each copy (20 ns).
    if size <= 0:
        return at
    _memcpy(out, at, source, start, size)
    return at + size
