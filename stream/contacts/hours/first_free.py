"""When a contact that rules or quiet hours stop could be, where both have a say."""

from __future__ import annotations

import numba
import numpy as np

from stream.compiled.zone_set import Zones, local_and_change
from stream.contacts.contact_kernel import against, find_room
from stream.contacts.contact_rules import ContactRules
from stream.contacts.contact_table import Cells
from stream.contacts.hours.quiet_hours import GO, HELD, QuietHours, hold
from stream.contacts.local_time import DAY_S

_TRIES_MAX = 64
"""So often quiet hours and other rules hand a contact to each other before nobody says when it can be."""


@numba.njit(nogil=True, cache=True, error_model="numpy")
def first_free_ms(
    rules: ContactRules, zones: Zones, quiet: QuietHours, cells: Cells, row: int, k: int, zone: int,
    spread: np.uint64, now_ms: int,
) -> int:  # fmt: skip
    """The first second at which an event of that second would pass all rules, if nothing else happens.

    Args:
        rules: To `zone` as in `Contacts` and for `against`.
        zones: The time zones.
        quiet: The quiet hours.
        cells: The contact rows.
        row: The customer's.
        k: A strategy that does not pass now.
        zone: The customer's time zone.
        spread: The customer's place in the spread of a release.
        now_ms: The time, epoch milliseconds.

    Returns:
        Epoch milliseconds, 0 when it is too far away to be found.
    """
    at_ms, room_s = now_ms, np.empty((2, len(rules.limit)), np.int64)
    for _ in range(_TRIES_MAX):
        code, out_ms, again_ms = GO, at_ms, 0
        if quiet.obeys[k]:
            code, out_ms, again_ms = hold(
                quiet, zones, zone, at_ms, at_ms + quiet.expires_after_ms, spread
            )
        if again_ms == 0:
            find_room(rules, zones, cells, row, out_ms, zone, room_s)
            _, again_ms = against(rules, zones, cells, row, k, out_ms, zone, room_s)
        if again_ms == 0:
            if code != HELD:
                return at_ms
            # All that is decided in these quiet hours goes out at the same second.
            at_s, now_s = at_ms // 1000, now_ms // 1000
            local_s, _ = local_and_change(zones, zone, at_s)
            quiet_s = at_s - (local_s - quiet.from_s) % DAY_S
            lives_s = (out_ms - quiet.expires_after_ms) // 1000 + 1
            return int(1000 * max(quiet_s, lives_s, now_s + 1))
        at_ms = again_ms
    return 0
