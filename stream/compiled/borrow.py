"""Arrays without reference counting, for the inside of numba kernels.

numba counts a reference, with an atomic instruction, each time an array is handed to a function that
branches. Where a kernel calls small functions millions of times, that is most of its time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba.core import cgutils
from numba.extending import intrinsic, overload

Array = TypeVar("Array")


def borrow(array: Array) -> Array:
    """The same array as a view that owns nothing, for use inside one kernel.

    Only for an argument of the kernel, which its caller holds while it runs: numba frees a local
    array after its last use, whoever borrowed it. The view must not be returned.
    """
    return array


@intrinsic
def _disown(_context: Any, array: Any) -> tuple[Any, Callable[..., Any]]:
    """The array's struct with a null owner, which numba does not count."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        struct = context.make_array(signature.args[0])(context, builder, arguments[0])
        owner_type = struct.meminfo.type
        struct.meminfo = cgutils.get_null_value(owner_type)  # type: ignore[no-untyped-call]  # numba
        return struct._getvalue()

    return array(array), generate


@overload(borrow, jit_options={"forceinline": True})
def _compiled_borrow(array: Any) -> Callable[[Any], Any]:
    def implementation(array: Any) -> Any:
        return _disown(array)  # type: ignore[call-arg]  # numba adds the context

    return implementation
