"""The examples of one shard, as the campaign file asks for them."""

from __future__ import annotations

import numpy as np

from stream.campaign.file import Campaign
from stream.campaign.words import duration_ms
from stream.features.plan import FeaturePlan
from trainer.examples.axis import History
from trainer.examples.controls import Controls
from trainer.examples.labels import Examples, JoinCounts, decided, treated
from trainer.examples.landmarks import untreated
from trainer.history.gaps import Extent
from trainer.replay.timeline import Timeline


def of_shard(
    campaign: Campaign,
    plan: FeaturePlan,
    timeline: Timeline,
    extent: Extent,
    controls: Controls,
    seed: int,
) -> tuple[Examples, JoinCounts]:
    """Of one shard: every action, and decision points that were left alone where those are the controls."""
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
        age_max_ms = duration_ms(training.decision_age_max or training.attribution_window)
        examples, counts = treated(history, timeline.actions, window_ms, age_max_ms, extent)
    if campaign.model.head == "choice":
        return examples.take(examples.outcome & (examples.strategy < nothing)), counts
    if controls is not Controls.OBSERVED:
        return examples, counts  # doing nothing is among the actions, or is not learned at all
    random = np.random.default_rng([seed, *timeline.shard])
    alone, found = untreated(
        history, timeline.actions, examples, nothing, window_ms, extent,
        training.untreated_per_treated, random,
    )  # fmt: skip
    return Examples.joined(examples, alone), counts + found
