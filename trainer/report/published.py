"""What a published model says of itself in its report: what later judgements take as given."""

from __future__ import annotations

import msgspec
import numpy as np
from msgspec import Struct

from models.bundle import Bundle
from models.errors import NO_JSON, BundleError
from stream.columns import Float64s
from trainer.evaluation.evaluation import CANDIDATE
from trainer.report.report import REPORT


class Learned(Struct, frozen=True):
    """What was learned beside the weights, on the training and the validation part.

    Attributes:
        thresholds: Model -> strategy -> score from which on the outcome is predicted.
        base_rates: Strategy -> mean outcome in the training part.
    """

    thresholds: dict[str, dict[str, float]] = {}
    base_rates: dict[str, float] = {}


class _Report(Struct, frozen=True):
    """The part of a report that is needed here, whatever else it has."""

    evaluation: Learned | None = None


def learned(bundle: Bundle) -> Learned:
    """What the report of a model says; nothing when it was not judged.

    Raises:
        BundleError: The report cannot be read.
    """
    data = bundle.files.get(REPORT)
    if data is None:
        return Learned()
    try:
        return msgspec.json.decode(data, type=_Report).evaluation or Learned()
    except NO_JSON as exc:
        raise BundleError(f"{bundle.manifest.version}/{REPORT}: {exc}") from exc


def thresholds(bundle: Bundle, model: str = CANDIDATE) -> Float64s | None:
    """Those that the model, or a rule beside it, got from its validation part; None without.

    Returns:
        Shape (K,), float64.

    Raises:
        BundleError: The report cannot be read.
    """
    return _in_order(bundle, learned(bundle).thresholds.get(model, {}))


def base_rates(bundle: Bundle) -> Float64s | None:
    """Mean outcome of each strategy in its training part; None when its report has none.

    Returns:
        Shape (K,), float64.

    Raises:
        BundleError: The report cannot be read.
    """
    return _in_order(bundle, learned(bundle).base_rates)


def _in_order(bundle: Bundle, by_strategy: dict[str, float]) -> Float64s | None:
    names = bundle.manifest.strategies
    if not set(names) <= by_strategy.keys():
        return None
    return np.array([by_strategy[name] for name in names])
