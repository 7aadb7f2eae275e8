"""Which tests each of several processes begins with, so that no processor is idle while others wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Test = TypeVar("Test")


def dealt(tests: Sequence[Test], waits: Callable[[Test], bool], processes: int) -> list[Test]:
    """The runs of tests that the processes are given, one after the other.

    pytest-xdist cuts the list into one run for each; who is through with its own takes from the end
    of another's. So the first begins with what computes, and the others with what waits for brokers
    and workers, by turns.

    Args:
        tests: The longest first: what is left for the end of a run is quick.
        waits: Whether other processes do most of what a test takes.
        processes: How many there are.
    """
    if processes == 1:
        return list(tests)
    computing = [test for test in tests if not waits(test)]
    waiting = [test for test in tests if waits(test)]
    found: list[Test] = []
    for process in range(processes):
        size = (len(tests) - len(found)) // (processes - process)
        own = waiting[process - 1 :: processes - 1] if process else []
        rest = max(0, size - len(own))
        found += [*own, *computing[:rest]]
        del computing[:rest]
    return found
