"""The examples of one shard, as the campaign file asks for them."""

from __future__ import annotations

import numpy as np

from stream.campaign.file import Campaign
from stream.campaign.words import duration_ms
from stream.features.plan import FeaturePlan
from trainer.examples.labels import Examples, History, JoinCounts, decided, treated, untreated
from trainer.history.gaps import Extent
from trainer.replay.timeline import Timeline


def of_shard(
    campaign: Campaign, plan: FeaturePlan, timeline: Timeline, extent: Extent, seed: int
) -> tuple[Examples, JoinCounts]:
    """Of one shard: every action, and a sample of the decision points without contact."""
    training = campaign.training
    window_ms = duration_ms(training.attribution_window)
    nothing = len(campaign.strategies)
    history = History(
        row=timeline.person,
        time_ms=timeline.time_ms,
        decides=plan.decides[timeline.type_code],
        outcome=timeline.type_code == plan.event_types.index(training.outcome),
    )
    if training.learn_from == "decisions":
        examples, counts = decided(history, timeline.actions, window_ms, extent)
    else:
        examples, counts = treated(history, timeline.actions, window_ms, extent)
    if campaign.model.head == "choice":
        return examples.take(examples.outcome & (examples.strategy < nothing)), counts
    if training.learn_from == "decisions":
        return examples, counts  # doing nothing was decided as well
    alone = untreated(history, timeline.actions, nothing, window_ms, extent)
    size = min(len(alone), round(training.untreated_per_treated * len(examples)))
    random = np.random.default_rng([seed, *timeline.shard])
    chosen = random.choice(len(alone), size, replace=False)
    counts += JoinCounts(untreated=len(alone))
    return Examples.joined(examples, alone.take(chosen)), counts
