"""What could not be read in the events of a history, and what never came, counted over its chunks."""

from __future__ import annotations

from collections import Counter

from stream.campaign.file import Campaign
from stream.events.flaws import Flaws
from stream.features.plan import FeaturePlan
from stream.features.silence import Silence


class FlawCounts:
    """Adds up flaws.

    Args:
        campaign: The campaign file.
        plan: Its compiled features.

    Attributes:
        unreadable: Values of events that could not be read and are missing, by path.
        examples: By path one sentence about such a value.
        ahead: Events that said a time too far after that of their record.
        silence: Which properties came.
    """

    def __init__(self, campaign: Campaign, plan: FeaturePlan) -> None:
        self.unreadable: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.ahead = 0
        self.silence = Silence(campaign, plan)

    def add(self, flaws: Flaws) -> None:
        """Counts those of a chunk."""
        self.unreadable += flaws.by_path()
        self.examples = {**flaws.examples, **self.examples}
        self.ahead += flaws.ahead
        self.silence.add(flaws.present, flaws.types)
