"""Conditions of strategies and slices, such as "purchase_count_30d >= 1", as arrays."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream.campaign.file import StrategySpec
from stream.columns import Bools, Float64s, Int64s
from stream.errors import CampaignError

IDENTIFIED = "identified"
"""A condition of strategies about the event, and not about a feature: its customer is no fallback."""

COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
"""Comparisons; a condition holds the index into them."""

_CONDITION = re.compile(r"\s*([^\s<>=!]+)\s*(<=|>=|==|!=|<|>)\s*(\S+)\s*")


@dataclass(frozen=True, eq=False, slots=True)
class Conditions:
    """c conditions over R features.

    Attributes:
        strategy: Index of the strategy, or of the list, of each condition. Shape (c,), int64.
        column: What it compares, an index into `features`. Shape (c,), int64.
        op: Index into `COMPARISONS`. Shape (c,), int64.
        number: What it compares with. Shape (c,), float64.
        features: The features compared, indices into the feature vector. Shape (R,), int64.
    """

    strategy: Int64s
    column: Int64s
    op: Int64s
    number: Float64s
    features: Int64s

    def __len__(self) -> int:
        return len(self.strategy)


def compile_conditions(strategies: Sequence[StrategySpec], names: Sequence[str]) -> Conditions:
    """Reads the conditions of all strategies.

    Args:
        strategies: Strategies of the campaign.
        names: Names of the features, in the order of the feature vector.

    Raises:
        CampaignError: A condition cannot be read or names no feature.
    """
    return compile_lists(
        [(f"strategies[{s}].eligible", strategy.eligible) for s, strategy in enumerate(strategies)],
        names,
        others=(IDENTIFIED,),
    )


def compile_values(strategies: Sequence[StrategySpec], names: Sequence[str]) -> Int64s:
    """The features that are values of strategies, one for each that names one. Shape (v,), int64.

    Raises:
        CampaignError: A name is that of no feature.
    """
    columns = [
        _find(f"strategies[{s}].value_from", strategy.value_from, names)
        for s, strategy in enumerate(strategies)
        if strategy.value_from
    ]
    return np.array(columns, np.int64)


def asks_for_identity(strategies: Sequence[StrategySpec]) -> Bools:
    """Which strategies are only for customers that are identified. Shape (S,), bool."""
    return np.array([IDENTIFIED in map(str.strip, one.eligible) for one in strategies], np.bool_)


def compile_lists(
    lists: Sequence[tuple[str, Sequence[str]]], names: Sequence[str], others: Sequence[str] = ()
) -> Conditions:
    """Reads lists of conditions, each with its place in the campaign file.

    Args:
        lists: The conditions by the place of their list.
        names: Names of the features, in the order of the feature vector.
        others: Words that are conditions and compare no feature; they are passed over.

    Raises:
        CampaignError: A condition cannot be read or names no feature.
    """
    parsed = [
        (i, *_parse(f"{where}[{c}]", text, names, others))
        for i, (where, conditions) in enumerate(lists)
        for c, text in enumerate(conditions)
        if text.strip() not in others
    ]
    features = sorted({feature for _, feature, _, _ in parsed})
    return Conditions(
        strategy=np.array([strategy for strategy, *_ in parsed], np.int64),
        column=np.array([features.index(feature) for _, feature, _, _ in parsed], np.int64),
        op=np.array([op for *_, op, _ in parsed], np.int64),
        number=np.array([number for *_, number in parsed], np.float64),
        features=np.array(features, np.int64),
    )


def _parse(
    where: str, text: str, names: Sequence[str], others: Sequence[str]
) -> tuple[int, int, float]:
    match = _CONDITION.fullmatch(text)
    number = _number(match[3]) if match else math.nan
    if match is None or not math.isfinite(number):
        words = "".join(f", or {word}" for word in others)
        raise CampaignError(
            f"at {where}: expected a feature, one of {' '.join(COMPARISONS)} and a number, such as "
            f'"purchase_count_30d >= 1"{words}, got "{text}"'
        )
    return _find(where, match[1], names), COMPARISONS.index(match[2]), number


def _find(where: str, name: str, names: Sequence[str]) -> int:
    if name not in names:
        close = difflib.get_close_matches(name, names, n=5, cutoff=0.5) or list(names[:5])
        raise CampaignError(
            f'at {where}: expected the name of a feature, got "{name}"; '
            f"the closest are {', '.join(close)}"
        )
    return names.index(name)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
