"""The examples of one shard, as the campaign file asks for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stream.campaign.file import Campaign
from stream.campaign.words import duration_ms
from stream.columns import Bools
from stream.compiled.category_hash import category_hash
from stream.features.plan import FeaturePlan
from trainer.examples.axis import Axis, History, any_between
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
        if campaign.contacts.sent:
            axis = Axis(history, window_ms, extent)
            examples = replace(examples, sent=_gone_out(campaign, plan, timeline, axis, examples))
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


def _gone_out(
    campaign: Campaign, plan: FeaturePlan, timeline: Timeline, axis: Axis, examples: Examples
) -> Bools:
    """Of which decisions an engine said in time that they have gone out. Shape (m,), bool.

    In time is within `contacts.correct_within`, and within the attribution window.
    """
    spec = campaign.contacts
    codes = [plan.event_types.index(name) for name in spec.sent]
    told = np.flatnonzero(np.isin(timeline.type_code, codes))
    of_whom = timeline.category[plan.category_paths.index(spec.strategy_property), told]
    span_ms = min(
        duration_ms(spec.correct_within), duration_ms(campaign.training.attribution_window)
    )
    out = np.zeros(len(examples), np.bool_)
    for k, strategy in enumerate(campaign.strategies):
        mine = np.flatnonzero(examples.strategy == k)
        places = np.sort(axis.clock[told[of_whom == category_hash(strategy.id.encode())]])
        place = axis.place(examples.event[mine], examples.time_ms[mine])
        out[mine] = any_between(places, place, place + span_ms)
    return out
