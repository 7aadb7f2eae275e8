"""What the features of a campaign are made of: quantities that a row keeps, each with its features."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from stream.campaign.file import FeatureOp
from stream.campaign.operator_table import OPERATORS, Transform
from stream.features.kernel_tables import DISTINCT, LAST, WINDOW

ANY = "*"
UTC = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One quantity that a row keeps, and the features it gives. What does not apply is 0 or None.

    Attributes:
        op: Operator of the campaign file.
        kind: Its kind in the kernel.
        names: Its features, neighbours in the feature vector.
        events: Event types that it adds, sorted; ("*",) for all, () for none.
        transform: Transform of its values.
        path: Property that it adds, a number or a category.
        half_life_ms: Half-life of its words.
        size: Tiles of its ring, or hash buckets.
        span_ms: Length of a tile, a cap or a cycle.
        phase_ms: Where the cycle begins after the epoch.
        time_zone: Whose day or week the cycle is, "" for UTC.
    """

    op: FeatureOp
    kind: int
    names: tuple[str, ...]
    events: tuple[str, ...]
    transform: Transform
    path: str | None = None
    half_life_ms: int = 0
    size: int = 0
    span_ms: int = 0
    phase_ms: int = 0
    time_zone: str = ""

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """Transform of each of its features: whether a value is missing is 0 or 1 and stays so."""
        if self.kind == LAST:
            return self.transform, "none"
        return (self.transform,) * len(self.names)

    @property
    def words(self) -> int:
        """Words of state of its own."""
        words = OPERATORS[self.op].words
        return self.size if words == "size" else words

    @property
    def is_categorical(self) -> bool:
        """Whether its property is a category."""
        return OPERATORS[self.op].reads == "category"

    @property
    def is_numeric(self) -> bool:
        """Whether its property is a number."""
        return OPERATORS[self.op].reads == "number"

    @property
    def tile_ms(self) -> int:
        """Length of a tile of its ring."""
        return self.span_ms if self.kind in {WINDOW, DISTINCT} else 0


def definition(operators: Iterable[Operator]) -> str:
    """Canonical JSON: what each operator is, without what does not apply to it."""
    described = []
    for operator in operators:
        fields = msgspec.to_builtins(operator)
        del fields["kind"]  # the kernel's number for it, not its meaning
        described.append({name: value for name, value in fields.items() if value})
    return msgspec.json.encode(described, order="deterministic").decode()
