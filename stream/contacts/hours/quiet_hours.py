"""Quiet hours: when a contact may go out that is decided now, or that none may.

Rules of this file
1. What is held never goes out after its decision has expired, and never in quiet hours.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from stream.campaign.file import Campaign
from stream.campaign.sections.contact_sections import minutes
from stream.campaign.words import duration_ms
from stream.columns import Bools
from stream.compiled.borrow import borrow
from stream.compiled.zone_set import Zones, local_and_change
from stream.contacts.local_time import first_loud, is_quiet

GO, HELD, QUIET, PAST_EXPIRY = range(4)
"""What comes of a decision: its contact goes out now, or later; it is dropped, since it is quiet, or
since it would be held beyond its expiry."""

_inline = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


class QuietHours(NamedTuple):
    """The quiet hours of a campaign.

    Attributes:
        on: Whether there are any.
        from_s: Seconds after local midnight from which it is quiet.
        until_s: At which that ends.
        holds: Whether decisions are held, not dropped.
        spread_s: Over how long what was held is spread.
        expires_after_ms: From an event to the expiry of its decision.
        obeys: Whether each strategy waits. Shape (S,), bool.
    """

    on: bool
    from_s: int
    until_s: int
    holds: bool
    spread_s: int
    expires_after_ms: int
    obeys: Bools


def compile_quiet_hours(campaign: Campaign) -> QuietHours:
    """The quiet hours of a campaign."""
    spec = campaign.quiet_hours
    obeys = np.array([strategy.obeys_quiet_hours for strategy in campaign.strategies], np.bool_)
    expires_after_ms = duration_ms(campaign.decisions.expires_after)
    if spec is None:
        return QuietHours(False, 0, 0, False, 1, expires_after_ms, obeys)
    return QuietHours(
        True, 60 * minutes(spec.from_), 60 * minutes(spec.until), spec.mode == "hold",
        duration_ms(spec.release_spread) // 1000, expires_after_ms, obeys,
    )  # fmt: skip


@_inline
def borrow_quiet(quiet: QuietHours) -> QuietHours:
    """The same, for use inside one kernel."""
    return QuietHours(
        quiet.on, quiet.from_s, quiet.until_s, quiet.holds, quiet.spread_s,
        quiet.expires_after_ms, borrow(quiet.obeys),
    )  # fmt: skip


@_inline
def hold(
    quiet: QuietHours, zones: Zones, zone: int, now_ms: int, expires_ms: int, spread: np.uint64
) -> tuple[int, int, int]:
    """When a contact goes out that is decided now.

    Args:
        quiet: The quiet hours.
        zones: The time zones.
        zone: The customer's.
        now_ms: Time of the decision, epoch milliseconds.
        expires_ms: When the decision expires.
        spread: A hash that says where in the spread of the release it goes out.

    Returns:
        What comes of it; when it goes out, epoch milliseconds; and, when it is dropped, the first full
        second at which a decision about an event of that second would not be, else 0.
    """
    if not quiet.on:
        return GO, now_ms, 0
    now_s = now_ms // 1000
    local_s, _ = local_and_change(zones, zone, now_s)
    if not is_quiet(quiet.from_s, quiet.until_s, local_s):
        return GO, now_ms, 0
    free_s = first_loud(zones, zone, quiet.from_s, quiet.until_s, now_s)
    if not quiet.holds:
        return QUIET, now_ms, 1000 * free_s
    out_s = free_s + int(np.int64(spread % np.uint64(quiet.spread_s)))
    local_s, _ = local_and_change(zones, zone, out_s)
    if is_quiet(quiet.from_s, quiet.until_s, local_s):  # a day that daylight saving made short
        out_s = free_s
    if 1000 * out_s >= expires_ms:
        # One that is decided later expires later; its contact goes out at the same second.
        retry_s = (1000 * out_s - quiet.expires_after_ms) // 1000 + 1
        return PAST_EXPIRY, now_ms, 1000 * min(max(retry_s, now_s + 1), free_s)
    return HELD, 1000 * out_s, 0
