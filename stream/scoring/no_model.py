"""What stands in the place of a model while there is none: it says nothing about anybody.

A worker that explores (`policy.without_model`) decides from its first day, so that there is something to learn
from when the first model is trained.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from models.contract import FeatureContract, Normalization
from stream.columns import Float32s
from stream.policy.decision import NO_MODEL


class NoModel:
    """See `stream.scoring.scorer.Scorer`; it has no outputs.

    Args:
        contract: The features of the campaign.
    """

    version = NO_MODEL
    head: Literal["choice", "response"] = "choice"
    strategies: tuple[str, ...] = ()
    untrained: tuple[str, ...] = ()

    def __init__(self, contract: FeatureContract) -> None:
        self.contract_digest = contract.digest
        self.features = len(contract.names)
        self.normalization = Normalization.identity(self.features)

    def score(self, x: Float32s) -> Float32s:
        """No scores. Shape (n, 0), float32."""
        return np.empty((len(x), 0), np.float32)
