"""Fuzzes everything that reads foreign bytes: `python -m tests.fuzz --minutes 10 --lane records`.

With `NUMBA_BOUNDSCHECK=1` and a `NUMBA_CACHE_DIR` of its own, a read or write out of bounds is an
`IndexError`; without, it may be a signal, or nothing. Input n of a lane depends on the seed and n only:
`--first n` begins with it.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from itertools import count

from tests.fuzz.lanes import LANES


def main() -> None:
    """Runs the lanes one after the other, each for its share of the time."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="for all lanes together")
    parser.add_argument("--lane", choices=sorted(LANES), action="append")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--compared", type=int, help="ends a lane with a twin at so many values")
    given = parser.parse_args()
    names = given.lane or list(LANES)
    for name in names:
        seconds = given.minutes * 60 / len(names)
        run(name, given.seed, given.first, seconds, given.compared or sys.maxsize)


def run(name: str, seed: int, first: int, seconds: float, most: int) -> None:
    """Runs one lane; what it finds ends the process, with the number of the input on the screen."""
    lane = LANES[name]
    lane(random.Random(seed))  # compiles, which is none of the time
    until_s = time.monotonic() + seconds
    done, values, by_kernels = 0, 0, 0
    for n in count(first):
        try:
            compared = lane(random.Random(f"{seed}/{n}"))
        except BaseException:
            print(f"{name}: input {n} of seed {seed} is a finding", flush=True)
            raise
        done += 1
        if compared is not None:
            values, by_kernels = values + compared.values, by_kernels + compared.by_kernels
        if time.monotonic() >= until_s or values >= most:
            break
    twin = f", {values} values as their twin reads them, {by_kernels} of these by kernels alone"
    found = twin if values else ""
    print(f"{name}: {done} inputs of seed {seed} from {first} on{found}, no finding", flush=True)


if __name__ == "__main__":
    main()
