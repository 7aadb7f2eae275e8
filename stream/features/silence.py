"""Declared properties that never come: a name with a slip, which would be learned as a constant."""

from __future__ import annotations

import numpy as np

from stream.campaign.file import Campaign
from stream.columns import Int64s
from stream.features.expansion import expand
from stream.features.operators import ANY
from stream.features.plan import FeaturePlan

EVENTS_MIN = 1000
"""So many events of the types that a property is read from must have come without it."""


class Silence:
    """Counts which properties come with the events that should have them.

    Args:
        campaign: The campaign file.
        plan: Its compiled features.
    """

    def __init__(self, campaign: Campaign, plan: FeaturePlan) -> None:
        self._paths = plan.property_paths
        self._present = np.zeros(len(self._paths), np.int64)
        self._types = np.zeros(len(plan.event_types) + 1, np.int64)
        code = {name: k for k, name in enumerate(plan.event_types)}
        self._reads = np.zeros((len(self._paths), len(self._types)), np.bool_)
        for operator in expand(campaign.features):
            for k, path in enumerate(self._paths):
                if path == operator.path:
                    every = ANY in operator.events or not operator.events  # a zone is of all events
                    self._reads[k, slice(None) if every else [code[e] for e in operator.events]] = 1

    def add(self, present: Int64s, types: Int64s) -> None:
        """Counts a chunk.

        Args:
            present: Values that came, of `FeaturePlan.property_paths`; more behind them is not looked
                at. Shape (paths or more,), int64.
            types: Events of each type, last of types that are not declared. Shape (types + 1,), int64.
        """
        self._present += present[: len(self._paths)]
        self._types += types

    def never(self) -> dict[str, int]:
        """The properties that never came, and how many events came without them."""
        events = self._reads @ self._types
        return {
            path: int(events[k])
            for k, path in enumerate(self._paths)
            if self._present[k] == 0 and events[k] >= EVENTS_MIN
        }
