"""What a model has to beat: rules that need no model.

Rules of this file
1. Everything is learned from the training part alone.
2. A rule gives a score for each output, so that it is judged as a model is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stream.campaign.file import Campaign
from stream.columns import Float32s, Float64s, Int64s
from stream.errors import CampaignError
from stream.features.expansion import expand
from trainer.evaluation.judged import Head
from trainer.examples.inputs import Inputs
from trainer.examples.part import Part

BASE_RATE = "base_rate"
RFM = "rfm"

_QUINTILES = (0.2, 0.4, 0.6, 0.8)
_LEVELS = 6  # five quintiles, and one for a value that is missing
_PRIOR_EXAMPLES = 20.0
"""A cell speaks for itself as far as it has more examples than this; less, and it is like the rest."""


class Rule(Protocol):
    """Anything that scores examples."""

    def scores(self, part: Part) -> Float32s:
        """Shape (n, K), float32."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class BaseRate:
    """Knows no customer: the mean outcome of each strategy; for a choice its share.

    As a choice it always takes the most common strategy.

    Attributes:
        rates: Shape (K,), float64.
    """

    rates: Float64s

    @classmethod
    def fit(cls, train: Part, head: Head, outputs: int) -> BaseRate:
        """Learns the rates; a strategy that was never used has that of all."""
        rows, positives = _sums(train, np.zeros(len(train), np.int64), 1, head, outputs)
        overall = positives.sum() / max(rows.sum(), 1.0) if head == "response" else 0.0
        return cls(np.where(rows > 0, positives / np.maximum(rows, 1e-300), overall)[0])

    def scores(self, part: Part) -> Float32s:
        """The same for all. Shape (n, K), float32."""
        return np.tile(self.rates.astype(np.float32), (len(part), 1))


@dataclass(frozen=True, slots=True, eq=False)
class RfmRule:
    """Recency, frequency, monetary value: three quintiles make a cell, a cell has a mean outcome.

    The rule of direct marketing before models (Hughes, "Strategic Database Marketing", 1994). Cells
    with few examples are drawn towards the base rate of the strategy.

    Attributes:
        columns: The three features. Shape (3,), int64.
        edges: Quintiles of each in the training part. Shape (3, 4), float64.
        table: Score of each cell and output. Shape (216, K), float64.
    """

    columns: Int64s
    edges: Float64s
    table: Float64s

    @classmethod
    def fit(
        cls, plan: Inputs, features: Sequence[str], train: Part, head: Head, outputs: int
    ) -> RfmRule:
        """Learns quintiles and cells."""
        columns = np.array([plan.names.index(name) for name in features], np.int64)
        values = _columns(train, columns)
        edges = np.stack([_edges(column) for column in values.T])
        cells = _LEVELS ** len(columns)
        rows, positives = _sums(train, _cell(values, edges), cells, head, outputs)
        prior = BaseRate.fit(train, head, outputs).rates
        return cls(columns, edges, (positives + _PRIOR_EXAMPLES * prior) / (rows + _PRIOR_EXAMPLES))

    def scores(self, part: Part) -> Float32s:
        """That of the cell. Shape (n, K), float32."""
        return self.table.astype(np.float32)[_cell(_columns(part, self.columns), self.edges)]


def fit_baselines(
    campaign: Campaign, plan: Inputs, train: Part, names: Sequence[str]
) -> dict[str, Rule]:
    """The rules that need no model, fitted.

    Args:
        campaign: The campaign file.
        plan: Its compiled features.
        train: The training part.
        names: Strategy id of each output.

    Returns:
        `BASE_RATE`, and `RFM` when the campaign has such features.

    Raises:
        CampaignError: `evaluation.rfm` names no feature.
    """
    head = campaign.model.head
    rules: dict[str, Rule] = {BASE_RATE: BaseRate.fit(train, head, len(names))}
    features = rfm_features(campaign, plan)
    if features is not None:
        rules[RFM] = RfmRule.fit(plan, features, train, head, len(names))
    return rules


def rfm_features(campaign: Campaign, plan: Inputs) -> tuple[str, ...] | None:
    """The features of the rule: as declared, else the first of recency, of count and of sum.

    Raises:
        CampaignError: `evaluation.rfm` names no feature.
    """
    declared = campaign.evaluation.rfm
    if declared is None:
        first = {operator.op: operator.names[0] for operator in reversed(expand(campaign.features))}
        found = [first.get(op) for op in ("recency", "count", "sum")]
        return None if not set(found) <= set(plan.names) else tuple(str(name) for name in found)
    for i, name in enumerate(declared):
        if name not in plan.names:
            raise CampaignError(
                f'at evaluation.rfm[{i}]: expected the name of a feature, got "{name}"; '
                "`opportune check` lists them"
            )
    return declared


def _sums(
    part: Part, cell: Int64s, cells: int, head: Head, outputs: int
) -> tuple[Float64s, Float64s]:
    """Weight of the examples and of the positives, by cell and output. Shape (cells, K) each."""
    used, positive = np.zeros((2, cells, outputs))
    np.add.at(used, (cell, part.strategy), part.weight)
    if head == "choice":
        return np.repeat(used.sum(axis=1, keepdims=True), outputs, axis=1), used
    np.add.at(positive, (cell, part.strategy), part.weight * part.outcome)
    return used, positive


def _columns(part: Part, columns: Int64s) -> Float64s:
    """Some features as the kernel gave them. Shape (n, len(columns)), float64."""
    out = np.empty((len(part), len(columns)))
    for where, values in part.raw_blocks():
        out[where] = values[:, columns]
    return out


def _edges(values: Float64s) -> Float64s:
    known = values[~np.isnan(values)]
    return np.quantile(known, _QUINTILES) if len(known) else np.zeros(len(_QUINTILES))


def _cell(values: Float64s, edges: Float64s) -> Int64s:
    cell = np.zeros(len(values), np.int64)
    for column, edge in zip(values.T, edges, strict=True):
        level = np.searchsorted(edge, column, side="right")
        cell = cell * _LEVELS + np.where(np.isnan(column), _LEVELS - 1, level)
    return cell
