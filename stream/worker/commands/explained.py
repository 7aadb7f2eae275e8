"""What `opportune check --explain` prints: what a feature is made of, where it stands, who asks for it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from rich.table import Column, Table

from models.errors import BundleError, RegistryError
from models.manifest import Manifest
from models.registry import Registry
from stream.campaign.field_path import has_list
from stream.campaign.file import Campaign, FeatureSpec
from stream.campaign.operator_table import OPERATORS
from stream.campaign.words import duration_ms
from stream.errors import OperatorError
from stream.features.expansion import expand
from stream.features.operators import ANY, Operator
from stream.features.plan import FeaturePlan, compile_features
from stream.policy.conditions import IDENTIFIED, compile_lists
from stream.terminal import Terminal, words


class ExplainError(OperatorError):
    """What is to be explained is not there; the message says what there is."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature of a campaign.

    Attributes:
        column: Its place in the feature vector.
        entry: Index of its entry in `features` of the campaign file.
        spec: That entry.
        operator: What the entry gave it.
        part: Its place among the features of the operator.
        word: First word of the operator in a row.
    """

    column: int
    entry: int
    spec: FeatureSpec
    operator: Operator
    part: int
    word: int

    @property
    def name(self) -> str:
        """As conditions and models call it."""
        return self.operator.names[self.part]


def explain_features(
    path: Path, campaign: Campaign, wanted: str, registry: str | None = None
) -> None:
    """Prints all about some features to stdout.

    Args:
        path: The campaign file.
        campaign: What it says.
        wanted: The name of a feature, the beginning of names, or a pattern such as "*_7d".
        registry: Where a champion is whose normalization is printed, too.

    Raises:
        CampaignError: A worker would not start with the campaign.
        ExplainError: There is no such feature, or the registry cannot be read.
    """
    plan = compile_features(campaign)
    chosen = _chosen(features_of(campaign, plan), wanted, path)
    champion = champion_of(registry)
    askers = list(_askers(campaign, plan.names))
    console = Terminal()
    for feature in chosen:
        table = Table.grid(Column(style="dim"), Column(overflow="fold"), padding=(0, 2))
        for label, text in (
            *_facts(feature, plan),
            *(("asked for by", place) for name, place in askers if name == feature.name),
            *_normalization(feature.name, champion, registry, plan),
        ):
            table.add_row(f"  {label}", text)
        console.print(words((feature.name, "bold")))
        console.print(table, "")


def features_of(campaign: Campaign, plan: FeaturePlan) -> list[Feature]:
    """All features of a campaign, in the order of the feature vector."""
    entries = ((i, s) for i, s in enumerate(campaign.features) for _ in expand((s,)))
    found: list[Feature] = []
    for (i, spec), operator, word in zip(
        entries, plan.layout.operators, plan.layout.word, strict=True
    ):
        for part in range(len(operator.names)):
            found.append(Feature(len(found), i, spec, operator, part, word))
    return found


def without_an_event(feature: Feature) -> float | None:
    """Value of a customer without any event that the feature looks at; NaN when it is missing.

    Returns:
        The value before the transform, in the units of docs/features.md; None when there is no such
        customer, since every event is looked at.
    """
    operator, kind = feature.operator, OPERATORS[feature.operator.op].kind
    if not operator.events:
        return None
    if kind == "recency":
        return operator.span_ms / 1000.0
    if kind == "last":
        return math.nan if feature.part == 0 else 1.0
    return 0.0


def _chosen(features: Sequence[Feature], wanted: str, path: Path) -> list[Feature]:
    names = [feature.name for feature in features]
    if wanted in names:
        return [features[names.index(wanted)]]
    pattern = wanted if set(wanted) & set("*?[") else f"{wanted}*"
    if wanted and (found := [f for f in features if fnmatchcase(f.name, pattern)]):
        return found
    close = difflib.get_close_matches(wanted, names, n=5, cutoff=0.5) or names[:5]
    raise ExplainError(
        f'--explain: expected a feature of {path}, the beginning of its name or a pattern, got "{wanted}"; '
        f"the closest are {', '.join(close)}"
    )


def _facts(feature: Feature, plan: FeaturePlan) -> Iterator[tuple[str, str]]:
    operator = feature.operator
    yield "operator", f"{operator.op}, features[{feature.entry}] of the campaign file"
    yield "vector", f"{feature.column} of 0 to {len(plan.names) - 1}"
    yield "events", _events(operator)
    if operator.path:
        yield "property", f"{operator.path}, {_meaning(operator, operator.path)}"
    for measure in _measures(feature):
        yield "measure", measure
    yield "transform", operator.transforms[feature.part]
    yield "row", _place(feature, plan)
    if (value := without_an_event(feature)) is not None:
        missing = "missing, and 0 after normalization: the mean of the training data"
        unit = " s" if OPERATORS[operator.op].kind == "recency" else ""
        yield "without an event", missing if math.isnan(value) else f"{value:.15g}{unit}"


def _meaning(operator: Operator, path: str) -> str:
    """What stands at the path of a property."""
    if not has_list(path):
        reads = OPERATORS[operator.op].reads
        return "the IANA name of the customer's time zone" if reads == "zone" else f"a {reads}"
    if operator.is_categorical:
        return "a category for each element of the list"
    return "how many elements" if path.endswith("[]") else "a number: the sum over the list"


def _events(operator: Operator) -> str:
    if not operator.events:
        return "none: the times of all events are enough"
    return "all" if ANY in operator.events else ", ".join(operator.events)


def _measures(feature: Feature) -> Iterator[str]:
    """What the entry says of time and size, as it says it."""
    spec, operator = feature.spec, feature.operator
    uses = OPERATORS[spec.op].needs | OPERATORS[spec.op].may
    for half_life in spec.half_lives:
        if duration_ms(half_life) == operator.half_life_ms:
            yield f"half-life {half_life}"
    if spec.window is not None:
        yield f"window {spec.window}: {operator.size} tiles of {spec.tile}, one of them begun"
    elif "window" in uses:
        yield "no window: all that was ever seen"
    if "time_zone" in uses:
        yield f"time zone {spec.time_zone}" + (" when an event names none" if spec.property else "")
    if "cap" in uses:
        yield f"cap {spec.cap}"
    if "buckets" in uses:
        yield f"bucket {feature.part} of 0 to {spec.buckets - 1}"


def _place(feature: Feature, plan: FeaturePlan) -> str:
    count = feature.operator.words
    if not count:
        return "no words of its own: it reads the clock and the oldest event"
    last = feature.word + count - 1
    shown = f"word {last}" if count == 1 else f"words {feature.word} to {last}"
    return f"{shown} of 0 to {plan.row_words - 1}, 8 bytes each"


def _askers(campaign: Campaign, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What compares which feature: its name, and the place in the campaign file."""
    lists = [
        (f"strategies[{i}].eligible", strategy.id, strategy.eligible)
        for i, strategy in enumerate(campaign.strategies)
    ] + [
        (f"evaluation.slices[{i}].conditions", one.name, one.conditions)
        for i, one in enumerate(campaign.evaluation.slices)
    ]
    for where, who, conditions in lists:
        for text in conditions:
            if text.strip() == IDENTIFIED:
                continue  # about the event, not about a feature
            (column,) = compile_lists([(where, (text,))], names).features.tolist()
            yield names[column], f'{who}: "{text}", {where}'
    for name in campaign.evaluation.rfm or ():
        yield name, "evaluation.rfm"


def champion_of(registry: str | None) -> Manifest | None:
    """The manifest of the champion; None without a registry or a champion.

    Raises:
        ExplainError: The registry cannot be read.
    """
    if registry is None:
        return None
    try:
        opened = Registry(registry)
        version = opened.pointer("champion")
        return None if version is None else opened.manifest(version)
    except (BundleError, RegistryError, OSError) as exc:
        raise ExplainError(f"--registry: expected a registry that can be read: {exc}") from exc


def _normalization(
    name: str, champion: Manifest | None, registry: str | None, plan: FeaturePlan
) -> Iterator[tuple[str, str]]:
    """Constants of the champion, if one is asked for."""
    if registry is None:
        return
    if champion is None:
        yield "normalization", f"no champion in {registry}"
        return
    if champion.contract_digest != plan.contract.digest:
        yield "champion", f"{champion.version} is for other features: workers refuse it"
    else:
        yield "champion", champion.version
    if name not in champion.contract.names:
        yield "normalization", "none: the champion does not know this feature"
        return
    at, entry = champion.contract.names.index(name), champion.normalization
    clip = "not clipped" if entry.clip is None else f"clipped at {entry.clip:g}"
    yield "normalization", f"mean {entry.mean[at]:g}, std {entry.std[at]:g}, {clip}"
