"""What customers forbid, held against strategies: consent by purpose, and channels that are closed.

Rules of this file
1. Sets of purposes are bits of an integer; bit 0 is the general purpose.
2. Whatever was withdrawn, or said in a word that nobody knows, forbids every strategy that needs it.
   Only `ignore` looks away; closed channels hold with it, too.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from stream.campaign.consent_sections import GENERAL
from stream.campaign.file import Campaign
from stream.campaign.purposes import purposes_of
from stream.columns import Bools, Int64s
from stream.compiled.borrow import borrow
from stream.policy.decision import Dropped

_GENERAL_BIT = 1

_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


class Needs(NamedTuple):
    """What each of the S strategies needs, as bits.

    Attributes:
        intact: Purposes of which none may be withdrawn or unreadable. Shape (S,), int64.
        all_granted: Purposes that have to be granted, all of them. Shape (S,), int64.
        one_granted: Purposes of which one has to be granted, 0 for no need. Shape (S,), int64.
        channels: Channels that may not be closed. Shape (S,), int64.
        grants: Whether any strategy needs anything to be granted.
    """

    intact: Int64s
    all_granted: Int64s
    one_granted: Int64s
    channels: Int64s
    grants: bool


def compile_needs(campaign: Campaign) -> Needs:
    """What the strategies of a campaign need.

    With `opt_in` a strategy needs the purposes that it names; one that names none needs the general
    purpose or its channel.
    """
    ids = [purpose.id for purpose in purposes_of(campaign)]
    mode = campaign.policy.consent
    closed = list(dict.fromkeys(spec.channel for spec in campaign.suppressions))
    rows = []
    for strategy in campaign.strategies:
        named = _bits([name in strategy.purposes and name != GENERAL for name in ids])
        own = named | _bits([bool(name) and name == strategy.channel for name in ids])
        general = GENERAL in strategy.purposes
        needs_named = named | (_GENERAL_BIT if general else 0)
        opt_in = mode == "opt_in"
        rows.append([
            0 if mode == "ignore" else own | _GENERAL_BIT,
            needs_named if opt_in else 0,
            own | _GENERAL_BIT if opt_in and not needs_named else 0,
            _bits([channel in ("*", strategy.channel) for channel in closed]),
        ])  # fmt: skip
    columns = np.array(rows, np.int64).reshape(-1, 4)
    intact, all_granted, one_granted, channels = (np.ascontiguousarray(c) for c in columns.T)
    grants = bool(columns[:, 1:3].any())
    return Needs(intact, all_granted, one_granted, channels, grants)


def _bits(flags: list[bool]) -> int:
    return sum(1 << k for k, flag in enumerate(flags) if flag)


@_inlined
def borrow_needs(needs: Needs) -> Needs:
    """The same, for use inside one kernel."""
    return Needs(
        borrow(needs.intact), borrow(needs.all_granted), borrow(needs.one_granted),
        borrow(needs.channels), needs.grants,
    )  # fmt: skip


@_inlined
def forbid(
    needs: Needs, consent: npt.NDArray[np.int8], closed: Bools, barred: npt.NDArray[np.int8], i: int,
    dropped: npt.NDArray[np.int8],
) -> int:  # fmt: skip
    """Why each strategy may not be used, CHOSEN where nothing speaks against it: row i of `dropped`.

    Those that are barred for everybody keep that reason.

    Returns:
        NO_CONSENT when all are without consent, SUPPRESSED when closed channels took the rest, CHOSEN
        when a strategy is left.
    """
    granted, forbidden = _said(consent, i)
    closed_to = _closed(closed, i)
    if not (forbidden or closed_to or needs.grants):
        for k in range(len(barred)):
            dropped[i, k] = barred[k]
        return Dropped.CHOSEN
    all_against = Dropped.NO_CONSENT
    for k in range(len(needs.intact)):
        against = Dropped.CHOSEN
        if (
            needs.intact[k] & forbidden
            or needs.all_granted[k] & ~granted
            or (needs.one_granted[k] and not needs.one_granted[k] & granted)
        ):
            against = Dropped.NO_CONSENT
        elif needs.channels[k] & closed_to:
            against = Dropped.SUPPRESSED
        dropped[i, k] = against
        if barred[k] != Dropped.CHOSEN:
            dropped[i, k] = barred[k]
        if against == Dropped.CHOSEN:
            all_against = Dropped.CHOSEN
        elif against == Dropped.SUPPRESSED and all_against != Dropped.CHOSEN:
            all_against = Dropped.SUPPRESSED
    return all_against


@_inlined
def _said(consent: npt.NDArray[np.int8], i: int) -> tuple[int, int]:
    """(purposes granted, purposes withdrawn or unreadable) of customer i."""
    granted = forbidden = 0
    for purpose in range(len(consent)):
        said = consent[purpose, i]
        if said == 1:
            granted |= 1 << purpose
        elif said != -1:
            forbidden |= 1 << purpose
    return granted, forbidden


@_inlined
def _closed(closed: Bools, i: int) -> int:
    """Channels that are closed to customer i."""
    bits = 0
    for channel in range(len(closed)):
        bits |= closed[channel, i] << channel
    return bits
