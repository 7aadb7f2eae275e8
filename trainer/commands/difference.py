"""How two versions differ, as plain data."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from trainer.commands.entry import Entry


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
        verdicts=(_verdict(before), _verdict(after)),
        strategies_added=_only(other.strategies, one.strategies),
        strategies_removed=_only(one.strategies, other.strategies),
        features_added=_only(other.contract.names, one.contract.names),
        features_removed=_only(one.contract.names, other.contract.names),
        shifts=_shifts(before, after),
    )


def _changed(before: dict[str, Any], after: dict[str, Any]) -> tuple[Changed, ...]:
    return tuple(
        Changed(name, before.get(name), after.get(name))
        for name in before | after
        if before.get(name) != after.get(name)
    )


def _verdict(entry: Entry) -> str:
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
