"""Plays many seeds, or one with its trace: `python -m tests.simulation --seeds 1000`."""

from __future__ import annotations

import argparse
import gc
import logging
import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator
from functools import partial

from rich.progress import track

from tests.simulation.mutations import MUTATIONS
from tests.simulation.play import Outcome, play

_FAILURES_MAX = 10
_COLLECT_EVERY = 20
_EACH = "each"


def main() -> int:
    """Exit code 0 when nothing is violated, 1 when something is."""
    arguments = _arguments()
    if os.environ.get("PYTHONHASHSEED") != "0":  # Faust goes through sets, in the order of hashes
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])
    if arguments.mutation == _EACH:
        return _break_each(arguments)
    if arguments.mutation:
        MUTATIONS[arguments.mutation]()
    if arguments.seed is not None:
        logging.getLogger("opportune").setLevel(logging.INFO)
        logging.getLogger("opportune").propagate = False
        outcome = play(arguments.seed, traced=arguments.trace)
        print("\n".join(outcome.trace))
        print(f"seed {outcome.seed}: {outcome.violation or 'nothing is violated'}")
        return int(outcome.violation is not None)
    logging.disable(logging.CRITICAL)
    failures = 0
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    outcomes = track(
        _played(seeds, arguments.jobs), "Seeds", total=len(seeds), disable=not sys.stderr.isatty()
    )
    for outcome in outcomes:
        if outcome.violation is not None:
            failures += 1
            command = _command(outcome.seed, arguments)
            print(f"seed {outcome.seed}: {outcome.violation}\n  {command}", flush=True)
            if failures == arguments.failures:
                break
    print(f"{failures} of {len(seeds)} seeds violate something")
    return int(failures > 0)


def _command(seed: int, arguments: argparse.Namespace) -> str:
    mutation = f" --break {arguments.mutation}" if arguments.mutation else ""
    return f"python -m tests.simulation --seed {seed} --trace{mutation}"


def _break_each(arguments: argparse.Namespace) -> int:
    """Every fault in a process of its own, forked from this one, which has imported everything."""
    logging.disable(logging.CRITICAL)
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    found = 0
    with multiprocessing.get_context("fork").Pool(arguments.jobs, maxtasksperchild=1) as pool:
        for told in pool.imap(partial(_first_violation, seeds), sorted(MUTATIONS), chunksize=1):
            print(told, flush=True)
            found += "nothing is violated" not in told
    return int(found > 0)


def _first_violation(seeds: Iterable[int], mutation: str) -> str:
    MUTATIONS[mutation]()
    for outcome in _played(seeds, 1):
        if outcome.violation is not None:
            return f"{mutation}: seed {outcome.seed}: {outcome.violation}"
    return f"{mutation}: nothing is violated"


def _played(seeds: Iterable[int], jobs: int) -> Iterator[Outcome]:
    gc.freeze()  # the modules need not be looked at again and again
    gc.disable()
    if jobs == 1:
        yield from map(_play_and_collect, seeds)
        return
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap_unordered(_play_and_collect, seeds, chunksize=16)


def _play_and_collect(seed: int) -> Outcome:
    outcome = play(seed)
    if seed % _COLLECT_EVERY == 0:
        gc.collect()
    return outcome


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many to play")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first one")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--failures", type=int, default=_FAILURES_MAX, help="stop after so many")
    parser.add_argument("--seed", type=int, help="play this one alone")
    parser.add_argument("--trace", action="store_true", help="and print what happens in it")
    parser.add_argument(
        "--break",
        dest="mutation",
        choices=[*sorted(MUTATIONS), _EACH],
        help=f"build this fault into the worker; `{_EACH}`: one after the other",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
