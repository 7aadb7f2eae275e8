"""Where a campaign file may name a whole list of an event, such as `properties.products[].price`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stream.campaign.field_path import has_list

if TYPE_CHECKING:
    from stream.campaign.file import Campaign


def wrong_list(campaign: Campaign) -> str:
    """Which path leads into a list and may not, "" if none does."""
    training = campaign.training
    for name in ("strategy_property", "propensity_property"):
        path = getattr(training, name)
        if path is not None and has_list(path):
            return (
                f'at training.{name}: expected one value of an event and no list [], got "{path}"'
            )
    if campaign.events.format == "json":
        return ""
    for where, path in _paths(campaign):
        if has_list(path):
            return (
                f"at {where}: expected no list [] with events.format = "
                f'"{campaign.events.format}", since lists are read from JSON only, got "{path}"'
            )
    return ""


def _paths(campaign: Campaign) -> Iterator[tuple[str, str]]:
    for i, feature in enumerate(campaign.features):
        if feature.property is not None:
            yield f"features[{i}].property", feature.property
    for i, suppression in enumerate(campaign.suppressions):
        for path in suppression.where:
            yield f"suppressions[{i}].where", path
