"""What training and judging ask of features, wherever they come from: a stream's plan, or a table."""

from __future__ import annotations

from typing import Protocol

from models.contract import FeatureContract
from stream.columns import Float64s, Int64s


class Inputs(Protocol):
    """F features. `stream.features.plan.FeaturePlan` is one.

    Attributes:
        names: Name of each feature, in the order of the feature vector.
        contract: What a model that reads them is fitted on.
        transform_codes: Transform of each, as `stream.features.normalization` reads them. Shape (F,), int64.
        raw_columns: Features that conditions of strategies compare, then those that have their values.
        condition_strategy: Strategy of each condition. Shape (c,), int64.
        condition_column: What it compares, an index into `raw_columns`. Shape (c,), int64.
        condition_op: Index into `stream.policy.conditions.COMPARISONS`. Shape (c,), int64.
        condition_number: What it compares with. Shape (c,), float64.
    """

    @property
    def names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def contract(self) -> FeatureContract: ...  # noqa: D102
    @property
    def transform_codes(self) -> Int64s: ...  # noqa: D102
    @property
    def raw_columns(self) -> Int64s: ...  # noqa: D102
    @property
    def condition_strategy(self) -> Int64s: ...  # noqa: D102
    @property
    def condition_column(self) -> Int64s: ...  # noqa: D102
    @property
    def condition_op(self) -> Int64s: ...  # noqa: D102
    @property
    def condition_number(self) -> Float64s: ...  # noqa: D102
