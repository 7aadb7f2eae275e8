"""From the sections `model` and `training` of a campaign file to a network as plain data."""

from __future__ import annotations

import msgspec

from models.manifest import NetworkConfig
from models.network_kinds import KINDS
from stream.campaign.training import ModelSpec, TrainingSpec
from trainer.errors import TrainingError

_PENALTIES = {"response": (1.0, 8.0), "choice": (0.0, 0.0)}
"""l2 and delta_l2 when not given: normal priors with deviations of 0.7, and of 0.25 for what sets strategies
apart. On the sum of the losses, they weigh less the more examples there are."""
_BINS, _PIECES = 8, 512
"""Bins of each feature when not given, and of all together at most."""


def network_config(
    model: ModelSpec, training: TrainingSpec, inputs: int, outputs: int
) -> NetworkConfig:
    """The network that a campaign file describes; what its kind does not use is left out.

    Args:
        model: The section `model`.
        training: The section `training`, for the penalties.
        inputs: Features, F.
        outputs: Strategies, K.

    Raises:
        TrainingError: The section contradicts itself, such as an mlp without hidden layers.
    """
    l2, delta_l2 = _PENALTIES[model.head]
    bins = min(_BINS, _PIECES // inputs) if model.head == "response" else 0
    used = {name: getattr(model, name) for name in KINDS[model.network].uses}
    if "cross_rank" in used:
        used["cross_rank"] = min(
            model.cross_rank, inputs
        )  # no matrix of F features has a higher one
    try:
        config = NetworkConfig(
            network=model.network,
            head=model.head,
            inputs=inputs,
            outputs=outputs,
            activation=model.activation,
            bins=bins if model.bins is None else model.bins,
            l2=l2 if training.l2 is None else training.l2,
            delta_l2=delta_l2 if training.delta_l2 is None else training.delta_l2,
            **used,
        )
        return msgspec.convert(msgspec.to_builtins(config), NetworkConfig)  # checks the bounds
    except (ValueError, msgspec.ValidationError) as exc:
        raise TrainingError(f"model: {exc}") from exc
