"""From `[[features]]` of the campaign file to operators with named features.

Rules of this file
1. An entry expands to one operator per number of a property range, event type and half-life, in this
   order: numbers, events, half-lives.
2. What an entry must say, may say and cannot say stands in one table, `stream.campaign.operator_table`.
3. A refusal names the path in the file, the value and what was expected.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import msgspec

from stream.campaign.file import FeatureSpec
from stream.campaign.operator_table import OPERATORS, Kind
from stream.campaign.words import duration_ms
from stream.compiled.time_zones import time_zone
from stream.errors import CampaignError
from stream.features.kernel_tables import (
    CYCLE,
    DISTINCT,
    LAST,
    LOCAL_CYCLE,
    RECENCY,
    SHARE,
    SUM,
    WINDOW,
)
from stream.features.operators import ANY, UTC, Operator

TILES_MAX = 400
"""Tiles in a window: thirteen months of days, sixteen days of hours."""
RANGE_MAX = 4096
"""Numbers in a range of properties: as many as a row may have words."""

KINDS: dict[Kind, int] = {
    "sum": SUM, "share": SHARE, "recency": RECENCY, "last": LAST, "window": WINDOW,
    "distinct": DISTINCT, "cycle": CYCLE,
}  # fmt: skip
"""The kernel's number for each."""
_LIFETIME_MS = 1 << 62  # one tile that never ends


_EXPECTED = {
    "property": 'a path such as "properties.value"',
    "half_lives": 'at least one half-life such as "7d"',
    "window": 'a length such as "30d"',
}
_DEFAULTS = {
    field: getattr(FeatureSpec(op="count"), field)
    for field in (
        "events",
        "property",
        "half_lives",
        "window",
        "tile",
        "cap",
        "buckets",
        "time_zone",
    )
}
_RANGED = sorted(name for name, operator in OPERATORS.items() if operator.ranged)
_RANGE = re.compile(r"\{([^{}]*\.\.[^{}]*)\}")
_BOUNDS = re.compile(r"([0-9]{1,9})\.\.([0-9]{1,9})")


def expand(specs: tuple[FeatureSpec, ...]) -> tuple[Operator, ...]:
    """The operators of all entries, in the order of their features.

    Raises:
        CampaignError: An entry contradicts its operator, or two features have one name.
    """
    operators: list[Operator] = []
    owner: dict[str, int] = {}
    for i, spec in enumerate(specs):
        where = f"features[{i}]"
        _check(where, spec)
        for operator in _expand_one(where, spec):
            for name in operator.names:
                if name in owner:
                    raise CampaignError(
                        f"at {where}: expected each feature name once, got {_show(name)}, which "
                        f"features[{owner[name]}] gives too; set `name` on one of them"
                    )
                owner[name] = i
            operators.append(operator)
    return tuple(operators)


def slug(text: str) -> str:
    """A text as part of a name: `Order Completed` gives `order_completed`."""
    return re.sub(r"\W+", "_", text.casefold()).strip("_")


def _check(where: str, spec: FeatureSpec) -> None:
    rule = OPERATORS[spec.op]
    for field, default in _DEFAULTS.items():
        value = getattr(spec, field)
        if field in rule.needs and value == default:
            raise CampaignError(
                f"at {where}.{field}: expected {_EXPECTED[field]}, {spec.op} needs it, got nothing"
            )
        if field not in rule.needs | rule.may and value != default:
            raise CampaignError(
                f"at {where}.{field}: expected nothing, {spec.op} does not use it, "
                f"got {_show(value)}"
            )
    _check_zone(where, spec)
    if spec.window is None:
        if spec.tile != _DEFAULTS["tile"]:
            raise CampaignError(
                f"at {where}.tile: expected nothing without a window, got {_show(spec.tile)}"
            )
        return
    tiles, rest = divmod(duration_ms(spec.window), duration_ms(spec.tile))
    if rest or tiles > TILES_MAX:
        raise CampaignError(
            f"at {where}.window: expected 1 to {TILES_MAX} whole tiles of {_show(spec.tile)}, "
            f"got {_show(spec.window)}"
        )


def _check_zone(where: str, spec: FeatureSpec) -> None:
    try:
        time_zone(spec.time_zone)
    except ValueError as exc:
        raise CampaignError(f"at {where}.time_zone: {exc}") from exc


def _expand_one(where: str, spec: FeatureSpec) -> Iterator[Operator]:
    rule = OPERATORS[spec.op]
    size, span_ms, phase_ms = _measures(spec)
    half_lives = spec.half_lives or (None,)
    stems = (stem for number in _numbers(where, spec) for stem in _stems(where, spec, number))
    for (stem, path, events), half_life in itertools.product(stems, half_lives):
        yield Operator(
            op=spec.op,
            kind=_kind(spec),
            names=_names(stem, spec, half_life),
            events=events,
            transform=spec.transform or rule.transform,
            path=path,
            half_life_ms=duration_ms(half_life) if half_life else 0,
            size=size,
            span_ms=span_ms,
            phase_ms=phase_ms,
            time_zone="" if spec.time_zone == UTC else spec.time_zone,
        )


def _kind(spec: FeatureSpec) -> int:
    kind = KINDS[OPERATORS[spec.op].kind]
    return LOCAL_CYCLE if kind == CYCLE and (spec.property or spec.time_zone != UTC) else kind


def _numbers(where: str, spec: FeatureSpec) -> list[str | None]:
    """The numbers of the property's range as they are written in its paths; [None] without one."""
    found = _RANGE.search(spec.property or "")
    if found is None:
        return [None]
    bounds = _BOUNDS.fullmatch(found[1])
    first, last = (int(bounds[1]), int(bounds[2])) if bounds else (0, -1)
    if not OPERATORS[spec.op].ranged or not 0 <= last - first < RANGE_MAX:
        raise CampaignError(
            f"at {where}.property: expected a range of at most {RANGE_MAX} rising numbers such as "
            f"{{0..783}}, of an operator among {', '.join(_RANGED)}, "
            f"got {_show(spec.property)} of {spec.op}"
        )
    ends = found[1].split("..")
    padded = any(end.startswith("0") and len(end) > 1 for end in ends)  # as bash pads: {08..10}
    width = max(map(len, ends)) if padded else 0
    return [f"{number:0{width}d}" for number in range(first, last + 1)]


def _stems(
    where: str, spec: FeatureSpec, number: str | None
) -> Iterator[tuple[str, str | None, tuple[str, ...]]]:
    """What the names of the features begin with, the property and the event types of each."""
    path = spec.property if number is None else _RANGE.sub(number, spec.property or "", count=1)
    leaf = slug((path or "").rpartition(".")[2])
    together = (ANY,) if ANY in spec.events else tuple(sorted(set(spec.events)))
    if "events" not in OPERATORS[spec.op].may:
        yield spec.name or spec.op, path, ()
    elif spec.name:
        yield spec.name if number is None else f"{spec.name}_{number}", path, together
    elif (OPERATORS[spec.op].merged or number is not None) and not leaf:
        raise CampaignError(
            f"at {where}.property: expected a letter or digit after the last dot to name the "
            f"feature by, or a `name`, got {_show(spec.property)}"
        )
    elif OPERATORS[spec.op].merged:
        yield f"{leaf}_{spec.op}", path, together
    else:
        of = "" if number is None else f"{leaf}_"
        for k, event in enumerate(spec.events):
            start = "any" if event == ANY else slug(event)
            if not start:
                raise CampaignError(
                    f"at {where}.events[{k}]: expected a letter or digit to name the feature by, "
                    f"or a `name`, got {_show(event)}"
                )
            yield f"{start}_{of}{OPERATORS[spec.op].label or spec.op}", path, (event,)


def _names(stem: str, spec: FeatureSpec, half_life: str | None) -> tuple[str, ...]:
    if half_life and (
        len(spec.half_lives) > 1 or (not spec.name and not OPERATORS[spec.op].merged)
    ):
        stem = f"{stem}_{half_life}"
    if spec.window and not spec.name:
        stem = f"{stem}_{spec.window}"
    endings = OPERATORS[spec.op].endings
    if endings == "buckets":
        return tuple(f"{stem}_{bucket}" for bucket in range(spec.buckets))
    return tuple(stem + ending for ending in endings)


def _measures(spec: FeatureSpec) -> tuple[int, int, int]:
    """`Operator.size`, `span_ms` and `phase_ms`."""
    operator = OPERATORS[spec.op]
    uses = operator.needs | operator.may
    if operator.cycle_ms is not None:
        return 0, *operator.cycle_ms
    if "buckets" in uses:
        return spec.buckets, 0, 0
    if "cap" in uses:
        return 0, duration_ms(spec.cap), 0
    if spec.window is not None:  # whole tiles, and the one that has begun
        tile_ms = duration_ms(spec.tile)
        return duration_ms(spec.window) // tile_ms + 1, tile_ms, 0
    return (1, _LIFETIME_MS, 0) if "window" in uses else (0, 0, 0)


def _show(value: object) -> str:
    return msgspec.json.encode(value).decode()
