"""From a history in shards to a dataset.

Rules of this file
1. Everything that the examples depend on is an argument: history, campaign, seed.
2. Examples come in the order of their shards.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from stream.campaign.file import Campaign
from stream.campaign.words import duration_ms
from stream.columns import Int64s
from stream.features.plan import FeaturePlan
from trainer.errors import TrainingError
from trainer.examples.chance import Doubts, Logged
from trainer.examples.controls import Controls, controls_of, left_alone
from trainer.examples.dataset import Dataset
from trainer.examples.labels import Examples, JoinCounts
from trainer.examples.notices import example_notices, history_notices
from trainer.examples.of_shard import of_shard
from trainer.examples.values import ValuesWriter
from trainer.examples.weights import expect_propensities
from trainer.history.gaps import reach_into
from trainer.replay.shards import Shards
from trainer.replay.timeline import Timeline, replay_blocks

_log = logging.getLogger("opportune")
OnShard = Callable[[int, int], None]
"""Called with the number of shards that are done and of those there are in all."""


def build(
    campaign: Campaign,
    plan: FeaturePlan,
    shards: Shards,
    folder: Path,
    seed: int,
    on_shard: OnShard | None = None,
) -> Dataset:
    """Makes the examples of a whole history, and warns of what it lacks.

    A choice is learned from what worked: its examples are contacts with the outcome. A response is
    learned from everything.

    Args:
        campaign: The campaign file.
        plan: Its compiled features.
        shards: The history, all of it.
        folder: For features that do not fit into memory; has to stay as long as the dataset.
        seed: Chooses among the decision points without a contact.
        on_shard: Told of the progress.

    Raises:
        TrainingError: There are no events or no examples, or a propensity is needed and missing.
    """
    if shards.events == 0:
        raise TrainingError(
            f"expected events in {', '.join(campaign.topics.events)}, got none; "
            f"{sum(shards.rejects.values())} records were no events. Let events come in first, or "
            "look at the bounds of the history and at the rejects in the dead-letter topic"
        )
    builder = _Builder(campaign, plan, folder, seed)
    all_shards = shards.shards()
    for done, shard in enumerate(all_shards, start=1):
        builder.add(shards.timeline(shard), shards)
        if on_shard is not None:
            on_shard(done, len(all_shards))
    dataset = builder.finish(shards)
    for notice in (*dataset.notices, *dataset.caveats):
        _log.warning("%s", notice)
    return dataset


class _Builder:
    """Collects the examples of one shard after the other."""

    def __init__(self, campaign: Campaign, plan: FeaturePlan, folder: Path, seed: int) -> None:
        self._campaign = campaign
        self._plan = plan
        self._seed = seed
        self._values = ValuesWriter(
            folder / "features.f64", len(plan.names), campaign.training.memory_mb * 2**20 // 2
        )
        self._counts = JoinCounts()
        self._near = 0
        self._customers = 0
        self._repeated = 0
        self._parts: list[tuple[Examples, Int64s, Int64s]] = []

    def add(self, timeline: Timeline, shards: Shards) -> None:
        """Takes a shard of a history."""
        partition, warm_up = timeline.shard.partition, self._campaign.training.warm_up
        soon = duration_ms(warm_up or history_notices.memory(self._campaign))
        extent = shards.coverage.extent(partition, shards.end_ms, soon)
        near_ms = extent.cold_ms
        if warm_up is None:
            extent = replace(extent, cold_ms=near_ms[:0])
        controls = controls_of(self._campaign, shards.logs_nothing)
        examples, counts = of_shard(
            self._campaign, self._plan, timeline, extent, controls, self._seed
        )
        self._near += int(reach_into(near_ms, examples.time_ms, examples.time_ms).sum())
        if self._campaign.training.propensity_weights:
            logged = examples.propensity[examples.beside < 0]
            expect_propensities(self._campaign.training, logged)
        points, slot = np.unique(examples.event, return_inverse=True)
        rows = self._write(timeline, points)[slot]
        order = np.argsort(rows, kind="stable")
        examples, rows = examples.take(order), rows[order]
        customer = self._customers + _numbers(timeline)[examples.event]
        self._parts.append((examples, rows, customer))
        self._counts += counts
        self._customers += timeline.table.rows
        self._repeated += timeline.repeated

    def finish(self, shards: Shards) -> Dataset:
        """The examples of all shards.

        Raises:
            TrainingError: There are none.
        """
        self._counts += JoinCounts(expired=shards.rejects["decision_expired"])
        examples = Examples.joined(*(examples for examples, _, _ in self._parts))
        if len(examples) == 0:
            why = example_notices.no_examples(self._campaign, self._counts)
            raise TrainingError(". ".join((why, *self._notices(shards))))
        controls = controls_of(self._campaign, shards.logs_nothing)
        alone = examples.beside >= 0
        examples.propensity[alone] = left_alone(
            examples.strategy, examples.propensity, len(self._campaign.strategies)
        )
        rows = np.concatenate([rows for _, rows, _ in self._parts])
        beside: tuple[str, ...] = ()
        if controls is Controls.OBSERVED:
            beside = example_notices.left_alone_beside(self._campaign, examples, rows)
        return Dataset(
            training=self._campaign.training,
            transforms=self._plan.transform_codes,
            values=self._values.finish(),
            rows=rows,
            strategy=examples.strategy,
            outcome=examples.outcome,
            time_ms=examples.time_ms,
            beside=examples.beside,
            customer=np.concatenate([customer for _, _, customer in self._parts]),
            logged=Logged(examples.propensity, examples.held_out, examples.possible),
            controls=controls,
            counts=self._counts,
            events=shards.events,
            repeated=self._repeated,
            customers=shards.spread.customers,
            start_ms=shards.start_ms,
            end_ms=shards.end_ms,
            notices=self._notices(shards),
            sent=examples.sent if _reports_sent(self._campaign) else None,
            doubts=Doubts(alone=beside),
            caveats=example_notices.controls(self._campaign, controls, self._counts),
        )

    def _notices(self, shards: Shards) -> tuple[str, ...]:
        missing, counts = shards.missing(), self._counts
        outcomes = shards.coverage.of_outcomes(missing)
        cut = history_notices.cut(self._campaign, missing, counts, self._near)
        unread = history_notices.unread(outcomes, counts, shards.end_ms)
        flaws = shards.flaws
        flawed = history_notices.flawed(flaws.unreadable, flaws.examples, flaws.ahead)
        silent = history_notices.silent(flaws.silence.never())
        scattered = history_notices.scattered(shards.spread, shards.misplaced)
        behind = history_notices.behind(shards.coverage.lag, counts, shards.end_ms)
        expired = example_notices.expired(self._campaign, counts)
        return tuple(filter(None, (expired, *behind, cut, unread, *flawed, *silent, scattered)))

    def _write(self, timeline: Timeline, points: Int64s) -> Int64s:
        """Writes the features after some events, each once; returns where they stand."""
        place = np.empty(len(points), np.int64)
        for which, values in replay_blocks(self._plan, timeline, points):
            place[which] = np.arange(len(self._values), len(self._values) + len(values))
            self._values.append(values)
        return place


def _reports_sent(campaign: Campaign) -> bool:
    return bool(campaign.contacts.sent) and campaign.training.learn_from == "decisions"


def _numbers(timeline: Timeline) -> Int64s:
    """Number of the customer of each event, by the order of their last events. Shape (n,), int64.

    The number of a row will not do: it depends on which topic was read first.
    """
    last = np.full(int(timeline.person.max(initial=-1)) + 1, -1)
    last[timeline.person] = np.arange(len(timeline))  # of several the last is kept
    return np.argsort(np.argsort(last))[timeline.person]
