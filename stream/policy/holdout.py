"""Hold-outs: customers who are left alone, so that it shows what contacts earn.

Rules of this file
1. Who is held out follows from the id of the customer and a salt alone: it is the same whatever model,
   rules or partitions there are, and a customer who comes back is where they were.
2. Nothing is asked of a customer to be held out: the arms differ by chance alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from stream.campaign.file import Campaign, StrategySpec
from stream.campaign.funnel_sections import HoldoutSpec
from stream.columns import Bytes, Int64s, Spans, UInt64s
from stream.compiled.borrow import borrow
from stream.compiled.keyed_hash import key_of, keyed_hash
from stream.policy.decision import CERTAIN, Dropped

_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


class Holdouts(NamedTuple):
    """H hold-outs.

    Attributes:
        key: Of the hash of each. Shape (H, 2), uint64.
        below: Hashes below it are held out, out of 2**32. Shape (H,), uint64.
        covers: Bit h for hold-out h that keeps this strategy from its customers. Shape (S,), int64.
    """

    key: UInt64s
    below: UInt64s
    covers: Int64s


def compile_holdouts(campaign: Campaign) -> Holdouts:
    """The hold-outs of a campaign."""
    specs = campaign.holdouts
    keys = [key_of("hold-out", spec.salt or spec.id) for spec in specs]
    covers = [
        sum(1 << h for h, spec in enumerate(specs) if _covers(spec, strategy))
        for strategy in campaign.strategies
    ]
    return Holdouts(
        np.array(keys, np.uint64).reshape(-1, 2),
        np.array([max(1, round(spec.share * CERTAIN)) for spec in specs], np.uint64),
        np.array(covers, np.int64),
    )


def _covers(spec: HoldoutSpec, strategy: StrategySpec) -> bool:
    named = strategy.id in spec.strategies or strategy.channel in spec.channels
    return not strategy.transactional and (spec.is_universal or named)


def held_out(holdouts: Holdouts, customers: Spans) -> Int64s:
    """Which hold-outs each customer is in, as bits. Shape (n,), int64."""
    out = np.zeros(len(customers), np.int64)
    if len(holdouts.below):
        _held_out(
            holdouts.key, holdouts.below, customers.data, customers.start, customers.size, out
        )
    return out


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _held_out(
    key: UInt64s, below: UInt64s, data: Bytes, start: Int64s, size: Int64s, out: Int64s
) -> None:
    data = borrow(data)
    for i in range(len(start)):
        for h in range(len(below)):
            drawn = keyed_hash(data, start[i], size[i], (key[h, 0], key[h, 1])) >> np.uint64(32)
            if drawn < below[h]:
                out[i] |= 1 << h


@_inlined
def withhold(
    covers: Int64s, held: int, codes: npt.NDArray[np.int8], ghost: npt.NDArray[np.int8]
) -> bool:
    """Keeps strategies from a customer who is held out.

    Args:
        covers: See `Holdouts`.
        held: Bits of the hold-outs that the customer is in.
        codes: Why each strategy is not used so far, CHOSEN for no reason. Changed. Shape (S,), int8.
        ghost: Set to what `codes` were: those of the same customer, not held out. Shape (S,), int8.

    Returns:
        Whether anything was kept from them that was still allowed.
    """
    kept = False
    for k in range(len(codes)):
        ghost[k] = codes[k]
        if codes[k] == Dropped.CHOSEN and covers[k] & held:
            codes[k] = Dropped.HOLDOUT
            kept = True
    return kept
