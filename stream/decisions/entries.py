"""The parts of decisions that are the same in many: actions, and entries of the list of what was dropped.

Rules of this file
1. Written once, when a campaign is compiled: messages choose among them.
"""

from __future__ import annotations

from stream.campaign.file import StrategySpec
from stream.decisions.template import Form, json_bytes
from stream.errors import CampaignError
from stream.policy.decision import NOTHING, Dropped
from stream.policy.stages import stage_of


def action_texts(strategies: tuple[StrategySpec, ...]) -> list[bytes]:
    """The action of each strategy and of doing nothing, with the same keys in all."""
    actions = []
    for i, strategy in enumerate(strategies):
        action = {
            "strategy": strategy.id,
            "channel": strategy.channel or None,
            "campaign_id": strategy.campaign_id or None,
            "properties": strategy.properties,
        }
        try:
            actions.append(json_bytes(action))
        except ValueError as exc:
            raise CampaignError(
                f"campaign: at strategies[{i}].properties: expected finite numbers, "
                f"got {strategy.properties}"
            ) from exc
    nothing: Form = {"strategy": NOTHING, "channel": None, "campaign_id": None, "properties": {}}
    return [*actions, json_bytes(nothing)]


def drop_texts(ids: list[str], *, with_stage: bool) -> list[bytes]:
    """For each strategy and each code the entry of the list of dropped strategies."""
    return [
        b"" if code == Dropped.CHOSEN else json_bytes(_drop(name, code, with_stage)) + b","
        for name in ids
        for code in Dropped
    ]


def _drop(name: str, code: Dropped, with_stage: bool) -> dict[str, str]:
    entry = {"strategy": name, "code": code.name}
    return {**entry, "stage": stage_of(code)} if with_stage else entry
