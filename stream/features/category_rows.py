"""The rows of `EventBatch.category` that a campaign asks for: single categories, and what is kept of lists and zones.

Rules of this file
1. What an operator or a condition looks at in a list is known before the list is read, so each event
   keeps as many words as they need and not its elements: an event has one size, on disk as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from stream.campaign.consent_sections import SuppressionSpec
from stream.campaign.field_path import has_list
from stream.columns import CategoryColumn
from stream.compiled.category_hash import category_hash
from stream.features.kernel_tables import BUCKETS_PER_WORD, LOCAL_CYCLE, SHARE
from stream.features.operators import Operator


@dataclass(frozen=True, slots=True)
class CategoryRows:
    """What stands in each row.

    Attributes:
        paths: Of single categories, each once.
        columns: What is kept of lists and then of zones, in the rows behind.
    """

    paths: tuple[str, ...]
    columns: tuple[CategoryColumn, ...]

    @classmethod
    def of(
        cls,
        operators: Iterable[Operator],
        suppressions: Sequence[SuppressionSpec],
        others: Sequence[str] = (),
    ) -> CategoryRows:
        """Those of the operators, of the conditions of suppressions, and others, single ones."""
        operators = tuple(operators)
        read = [op for op in operators if op.is_categorical]
        conditions = [c for spec in suppressions for c in spec.where.items()]
        paths = [*(op.path or "" for op in read), *(path for path, _ in conditions), *others]
        columns = [
            *(column for op in read for column in _columns(op)),
            *(_chosen(path, hashes_of(allowed)) for path, allowed in conditions if has_list(path)),
            *(_zone(op.path) for op in operators if op.kind == LOCAL_CYCLE and op.path),
        ]
        single = (path for path in paths if not has_list(path))
        return cls(tuple(dict.fromkeys(single)), tuple(dict.fromkeys(columns)))

    def __len__(self) -> int:
        return len(self.paths) + len(self.columns)

    @property
    def first_zone(self) -> int:
        """The first row of zones, which are the last rows; how many rows there are when there is none."""
        return len(self) - sum(column.keeps == "zone" for column in self.columns)

    def of_zone(self, path: str) -> int:
        """Which of the rows of zones has that of a path."""
        return len(self.paths) + self.columns.index(_zone(path)) - self.first_zone

    def of_operator(self, operator: Operator) -> int:
        """The row of an operator's category, of several the first."""
        columns = _columns(operator)
        if columns:
            return len(self.paths) + self.columns.index(columns[0])
        return self.paths.index(operator.path or "")

    def of_condition(self, path: str, hashes: Sequence[int]) -> int:
        """The row in which a condition finds one of these hashes, if it holds."""
        if has_list(path):
            return len(self.paths) + self.columns.index(_chosen(path, hashes))
        return self.paths.index(path)


def hashes_of(values: Iterable[str]) -> tuple[int, ...]:
    """The hashes of values that a condition allows, in the usual ways to write each."""
    return tuple(category_hash(way.encode()) for way in _ways(values))


def _ways(values: Iterable[str]) -> Iterator[str]:
    for value in values:
        yield from (value, value.lower(), value.upper(), value.capitalize(), value.title())


def _chosen(path: str, hashes: Sequence[int]) -> CategoryColumn:
    return CategoryColumn(path, "chosen", values=tuple(hashes))


def _zone(path: str) -> CategoryColumn:
    return CategoryColumn(path, "zone")


def _columns(operator: Operator) -> list[CategoryColumn]:
    """What is kept of an operator's list, neighbours; nothing when its category is a single one."""
    path = operator.path or ""
    if not has_list(path):
        return []
    if operator.kind != SHARE:
        return [CategoryColumn(path, "mask")]
    return [
        CategoryColumn(path, "counts", operator.size, first)
        for first in range(0, operator.size, BUCKETS_PER_WORD)
    ]
