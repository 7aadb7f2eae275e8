"""The features of a table as training and judging ask for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.contract import FeatureContract
from stream.campaign.file import Campaign
from stream.columns import Float64s, Int64s
from stream.features.plan import TRANSFORMS
from stream.policy.conditions import Conditions, compile_conditions, compile_values
from trainer.table.encoding import Encoding


@dataclass(frozen=True, slots=True, eq=False)
class TableInputs:
    """A `trainer.examples.inputs.Inputs`, of an encoding.

    Attributes:
        encoding: What the columns become.
        conditions: Of the strategies, over the features.
        values: Features that are values of strategies. Shape (v,), int64.
    """

    encoding: Encoding
    conditions: Conditions
    values: Int64s

    @classmethod
    def of(cls, campaign: Campaign, encoding: Encoding) -> TableInputs:
        """Compiles the conditions of a campaign over the features of a table.

        Raises:
            CampaignError: A condition cannot be read or names no feature.
        """
        names, strategies = encoding.names, campaign.strategies
        return cls(
            encoding, compile_conditions(strategies, names), compile_values(strategies, names)
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Of the F features."""
        return self.encoding.names

    @property
    def contract(self) -> FeatureContract:
        """What a model is fitted on; no worker has it."""
        return self.encoding.contract

    @property
    def transform_codes(self) -> Int64s:
        """Transform of each feature. Shape (F,), int64."""
        return np.array([TRANSFORMS[one] for one in self.encoding.transforms], np.int64)

    @property
    def raw_columns(self) -> Int64s:
        """Features that conditions compare, then values of strategies."""
        return np.append(self.conditions.features, self.values)

    @property
    def condition_strategy(self) -> Int64s:
        """Strategy of each condition. Shape (c,), int64."""
        return self.conditions.strategy

    @property
    def condition_column(self) -> Int64s:
        """What it compares. Shape (c,), int64."""
        return self.conditions.column

    @property
    def condition_op(self) -> Int64s:
        """How. Shape (c,), int64."""
        return self.conditions.op

    @property
    def condition_number(self) -> Float64s:
        """With what. Shape (c,), float64."""
        return self.conditions.number
