"""What is known about a published version without its weights, and how two of them differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Struct

from models.errors import NO_JSON, BundleError
from models.manifest import Manifest, NetworkConfig
from models.registry import POINTERS, Registry
from trainer.gate.gate import Verdict

_HEADLINES = ("log_loss", "brier", "accuracy", "roc_auc")
_SPECS = ("model", "training")
"""Parts of the report that say how the model was made."""


@dataclass(frozen=True)
class Entry:
    """A version.

    Attributes:
        manifest: What it is.
        report: Its report.json; empty when it has none.
        verdict: What the gate said; None when nobody asked it.
    """

    manifest: Manifest
    report: Mapping[str, Any] = field(default_factory=dict)
    verdict: Verdict | None = None

    @property
    def bytes(self) -> int:
        """Size of its files."""
        return sum(file.bytes for file in self.manifest.files.values())

    @property
    def headline(self) -> str:
        """Its metric, with the interval when it was judged."""
        value = None if self.verdict is None else self.verdict.value
        if self.verdict is not None and value is not None:
            ends = "" if value.low is None else f" [{value.low:.4f}, {value.high:.4f}]"
            return f"{self.verdict.metric} {value.value:.4f}{ends}"
        metrics = self.manifest.metrics
        name = next((name for name in _HEADLINES if name in metrics), None)
        return "" if name is None else f"{name} {metrics[name]:.4f}"

    @property
    def settings(self) -> dict[str, Any]:
        """How it was made, by path: the network, the seed, and what the report says of the rest."""
        found = {f"network.{name}": value for name, value in _plain(self.manifest.network).items()}
        found["seed"] = self.manifest.seed
        for spec in _SPECS:
            values = self.report.get(spec)
            if isinstance(values, dict):
                found |= {f"{spec}.{name}": value for name, value in values.items()}
        return found | {f"library.{k}": v for k, v in self.manifest.libraries.items()}


class Changed(Struct, frozen=True):
    """A value that is not the same; None where there is none."""

    name: str
    before: Any
    after: Any


class Shift(Struct, frozen=True):
    """How the data of a feature moved between the trainings.

    Attributes:
        feature: Its name.
        shift: Difference of the means, in standard deviations of the first version.
        ratio: Standard deviation of the second over that of the first.
    """

    feature: str
    shift: float
    ratio: float


class Difference(Struct, frozen=True, kw_only=True):
    """From one version to another.

    Attributes:
        before: The one.
        after: The other.
        settings: Network, hyperparameters, seed and libraries that differ.
        window_ms: Start and end of the data, epoch milliseconds.
        metrics: Those that either has; their difference is second less first.
        verdicts: What the gate said of each.
        strategies_added: Outputs of the second alone.
        strategies_removed: Outputs of the first alone.
        features_added: Inputs of the second alone.
        features_removed: Inputs of the first alone.
        shifts: Of the features of both, the largest first.
    """

    before: str
    after: str
    settings: tuple[Changed, ...]
    window_ms: tuple[Changed, ...]
    metrics: tuple[Changed, ...]
    verdicts: tuple[str, str]
    strategies_added: tuple[str, ...]
    strategies_removed: tuple[str, ...]
    features_added: tuple[str, ...]
    features_removed: tuple[str, ...]
    shifts: tuple[Shift, ...]


def read_entry(registry: Registry, version: str) -> Entry:
    """Reads a version.

    Raises:
        RegistryError, BundleError: As `Registry.manifest`; the report cannot be read.
        OSError: The store cannot be reached.
    """
    manifest = registry.manifest(version)
    report = _decoded(registry, manifest)
    return Entry(manifest, report, _verdict(report, version))


def read_marks(registry: Registry) -> dict[str, list[str]]:
    """The pointers that name a version, by version; errors as `Registry.pointer`."""
    marks: dict[str, list[str]] = {}
    for name in POINTERS:
        version = registry.pointer(name)
        if version is not None:
            marks.setdefault(version, []).append(name)
    return marks


def network_words(network: NetworkConfig) -> str:
    """A network in a few words, such as "mlp 64-32 relu"."""
    units = "-".join(map(str, network.hidden))
    return f"{network.network} {units} {network.activation}" if units else network.network


def difference(before: Entry, after: Entry) -> Difference:
    """Compares everything that is known about two versions."""
    one, other = before.manifest, after.manifest
    return Difference(
        before=one.version,
        after=other.version,
        settings=_changed(before.settings, after.settings),
        window_ms=(
            Changed("start_ms", one.window.start_ms, other.window.start_ms),
            Changed("end_ms", one.window.end_ms, other.window.end_ms),
        ),
        metrics=tuple(
            Changed(name, one.metrics.get(name), other.metrics.get(name))
            for name in one.metrics | other.metrics
        ),
        verdicts=(_words(before), _words(after)),
        strategies_added=_only(other.strategies, one.strategies),
        strategies_removed=_only(one.strategies, other.strategies),
        features_added=_only(other.contract.names, one.contract.names),
        features_removed=_only(one.contract.names, other.contract.names),
        shifts=_shifts(before, after),
    )


def _plain(network: NetworkConfig) -> dict[str, Any]:
    """What there is of it: no builder of a network that needs none, no penalty of 0."""
    return {name: value for name, value in msgspec.to_builtins(network).items() if value}


def _decoded(registry: Registry, manifest: Manifest) -> dict[str, Any]:
    data = registry.report(manifest)
    if data is None:
        return {}
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except NO_JSON as exc:
        raise BundleError(f"{manifest.version}/report.json: {exc}") from exc


def _verdict(report: Mapping[str, Any], version: str) -> Verdict | None:
    if report.get("verdict") is None:
        return None
    try:
        return msgspec.convert(report["verdict"], Verdict)
    except msgspec.ValidationError as exc:
        raise BundleError(f"{version}/report.json: verdict: {exc}") from exc


def _changed(before: dict[str, Any], after: dict[str, Any]) -> tuple[Changed, ...]:
    return tuple(
        Changed(name, before.get(name), after.get(name))
        for name in before | after
        if before.get(name) != after.get(name)
    )


def _words(entry: Entry) -> str:
    return "not judged" if entry.verdict is None else entry.verdict.words


def _only(some: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in some if name not in others)


def _shifts(before: Entry, after: Entry) -> tuple[Shift, ...]:
    """Of the constants that each was normalized with: what the training rows looked like."""
    one, other = before.manifest.normalization, after.manifest.normalization
    place = {name: i for i, name in enumerate(after.manifest.contract.names)}
    shifts = [
        Shift(
            name,
            (other.mean[place[name]] - one.mean[i]) / one.std[i],
            other.std[place[name]] / one.std[i],
        )
        for i, name in enumerate(before.manifest.contract.names)
        if name in place
    ]
    return tuple(sorted(shifts, key=lambda shift: -abs(shift.shift)))
