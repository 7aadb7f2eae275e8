"""Which contact an outcome is counted for: the last one before it, of the same customer, within the window.

Rules of this file
1. An outcome counts once at most, so that what strategies earn adds up.
2. Of customers who are held out the contacts that they would have had stand in the place of contacts: the
   same rule for both arms.
"""

from __future__ import annotations

import numpy as np

from stream.columns import Int64s


def attributed(
    contact_customer: Int64s, contact_ms: Int64s, outcome_customer: Int64s, outcome_ms: Int64s,
    window_ms: int,
) -> Int64s:  # fmt: skip
    """How many outcomes count for each contact.

    Args:
        contact_customer: Customer of each contact. Shape (m,), int64.
        contact_ms: Its time, epoch milliseconds. Shape (m,), int64.
        outcome_customer: Customer of each outcome. Shape (k,), int64.
        outcome_ms: Its time: after the contact. Shape (k,), int64.
        window_ms: At most so long after it.

    Returns:
        Shape (m,), int64.
    """
    if len(contact_ms) == 0 or len(outcome_ms) == 0:
        return np.zeros(len(contact_ms), np.int64)
    first = min(int(contact_ms.min()), int(outcome_ms.min()))
    # One line for all customers, so far apart that no window reaches from one to the next.
    step = max(int(contact_ms.max()), int(outcome_ms.max())) - first + window_ms + 1
    place = contact_customer * step + contact_ms - first
    order = np.argsort(place, kind="stable")
    wanted = outcome_customer * step + outcome_ms - first
    before = np.searchsorted(place[order], wanted) - 1
    known = before >= 0
    contact = order[before[known]]
    near = (contact_customer[contact] == outcome_customer[known]) & (
        wanted[known] - place[contact] <= window_ms
    )
    return np.bincount(contact[near], minlength=len(place)).astype(np.int64)
