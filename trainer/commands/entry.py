"""What is known about a published version without its weights: manifest, report, verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from models.errors import NO_JSON, BundleError
from models.manifest import Manifest, NetworkConfig
from models.registry import POINTERS, Registry
from trainer.gate import Verdict

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
