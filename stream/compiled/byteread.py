"""Reading single bytes and words of a buffer inside numba loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from stream.columns import Bytes

_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_inlined
def byte_at(data: Bytes, at: int) -> int:
    """data[at] for hot loops: an unsigned index spares the test for a negative one."""
    return int(data[np.uintp(at)])


def _word_code(
    _context: Any, data: Any, at: Any
) -> tuple[Any, Callable[[Any, Any, Any, Any], Any]]:
    """The eight bytes at data + at, of a C-contiguous uint8 array, little-endian."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.gep(array.data, [arguments[1]])
        word = builder.bitcast(pointer, ir.IntType(64).as_pointer())
        return builder.load(word, align=1)

    return types.uint64(data, types.int64), generate


word_at: Any = intrinsic(_word_code)
