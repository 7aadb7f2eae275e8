"""What training and judging ask of features, wherever they come from: a stream's plan, or a table."""

from __future__ import annotations

from typing import Protocol

from models.contract import FeatureContract
from stream.columns import Float64s, Int64s


class Inputs(Protocol):
    """F features. `stream.features.plan.FeaturePlan` is one."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of each feature, in the order of the feature vector."""

    @property
    def contract(self) -> FeatureContract:
        """What a model that reads them is fitted on."""

    @property
    def transform_codes(self) -> Int64s:
        """Transform of each, as `stream.features.normalization` reads them. Shape (F,), int64."""

    @property
    def raw_columns(self) -> Int64s:
        """Features that conditions of strategies compare, then those that have their values."""

    @property
    def condition_strategy(self) -> Int64s:
        """Strategy of each condition. Shape (c,), int64."""

    @property
    def condition_column(self) -> Int64s:
        """What it compares, an index into `raw_columns`. Shape (c,), int64."""

    @property
    def condition_op(self) -> Int64s:
        """Index into `stream.policy.conditions.COMPARISONS`. Shape (c,), int64."""

    @property
    def condition_number(self) -> Float64s:
        """What it compares with. Shape (c,), float64."""
