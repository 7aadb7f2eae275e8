"""What an example counts: 1 / propensity, so that rare actions speak for those that were not taken.

Rules of this file
1. A propensity that is missing or wrong is an error, never replaced.
2. The scale comes from the training part alone: a mean of 1 keeps learning rates and penalties.
"""

from __future__ import annotations

import numpy as np

from stream.campaign.training import TrainingSpec
from stream.columns import Bools, Float64s
from trainer.errors import TrainingError


def inverse_propensity(propensity: Float64s, reference: Bools, weight_max: float) -> Float64s:
    """Weights, 1 on average among the examples of the reference. Shape (n,), float64.

    Args:
        propensity: Probability of what was done, above 0. Shape (n,), float64.
        reference: The training part. Shape (n,), bool.
        weight_max: Most that 1 / propensity counts before it is scaled. What is above it is a bias: those
            whom a strategy rarely reached speak for fewer than there are.
    """
    weight = np.minimum(1.0 / propensity, weight_max)
    return weight / weight[reference].mean() if reference.any() else weight


def expect_propensities(training: TrainingSpec, propensity: Float64s) -> None:
    """Refuses examples that cannot be weighted.

    Raises:
        TrainingError: A propensity is missing (NaN), not above 0 or above 1.
    """
    wrong = np.flatnonzero(~((propensity > 0) & (propensity <= 1)))
    if len(wrong) == 0:
        return
    if training.learn_from == "decisions":
        where = "data.action_probability of every decision"
    else:
        path = training.propensity_property or "training.propensity_property"
        where = f'{path} of every "{training.treatment}"'
    raise TrainingError(
        f"expected a probability above 0 and at most 1 at {where}, got {propensity[wrong[0]]:g} and "
        f"the like in {len(wrong)} of {len(propensity)} examples. Correct "
        "training.propensity_property, or turn training.propensity_weights off"
    )
