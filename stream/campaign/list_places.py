"""Where a campaign file may name a whole list of an event, such as `properties.products[].price`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stream.campaign.field_path import has_list
from stream.campaign.operator_table import OPERATORS

if TYPE_CHECKING:
    from stream.campaign.file import Campaign

_ONE_VALUE = {
    "training": ("strategy_property", "propensity_property"),
    "contacts": ("strategy_property", "time_property"),
}


def wrong_list(campaign: Campaign) -> str:
    """Which path leads into a list and may not, "" if none does."""
    for where, path in _single(campaign):
        if path is not None and has_list(path):
            return f'at {where}: expected one value of an event and no list [], got "{path}"'
    others = sorted(campaign.events.formats - {"json"})
    if not others:
        return ""
    for where, path in _paths(campaign):
        if has_list(path):
            return (
                f"at {where}: expected no list [] with events.format = "
                f'"{others[0]}", since lists are read from JSON only, got "{path}"'
            )
    return ""


def _single(campaign: Campaign) -> Iterator[tuple[str, str | None]]:
    for section, names in _ONE_VALUE.items():
        for name in names:
            yield f"{section}.{name}", getattr(getattr(campaign, section), name)
    for i, feature in enumerate(campaign.features):
        if OPERATORS[feature.op].reads == "zone":
            yield f"features[{i}].property", feature.property


def _paths(campaign: Campaign) -> Iterator[tuple[str, str]]:
    for i, feature in enumerate(campaign.features):
        if feature.property is not None:
            yield f"features[{i}].property", feature.property
    for i, suppression in enumerate(campaign.suppressions):
        for path in suppression.where:
            yield f"suppressions[{i}].where", path
