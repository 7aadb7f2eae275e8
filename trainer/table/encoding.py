"""From columns of a table to features: numbers as they are, categories as one feature for each level.

Rules of this file
1. What a column becomes is learned once, is part of the model's contract, and is the same for every
   table that the model is applied to.
2. A number that is missing is NaN, and the mean for the network, as in a stream. A level that is not
   known is "other"; one that is missing is no level at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from models.contract import FeatureContract
from stream.campaign.operator_table import Transform
from stream.campaign.sections.table_section import TableSpec
from stream.columns import Float64s
from trainer.table.errors import TableError, closest, wrong_value
from trainer.table.roles import Roles

LEVEL_ROWS_MIN = 20
"""A level of fewer rows is "other": nothing could be learned of it."""
LEVELS_MAX = 100
OTHER = "*"
"""Name of the feature of all other levels."""


class Column(Struct, frozen=True, forbid_unknown_fields=True):
    """One column, and what it becomes.

    Attributes:
        name: Of the column.
        kind: number is one feature; category is one for each level, and one for all others.
        transform: Of a number, before it is normalized.
        levels: Of a category, in the order of its features.
    """

    name: str
    kind: Literal["number", "category"]
    transform: Transform = "none"
    levels: tuple[str, ...] = ()

    @property
    def features(self) -> tuple[str, ...]:
        """Names of its features; conditions can name them, so they have no spaces and no comparisons."""
        if self.kind == "number":
            return (_clean(self.name),)
        return tuple(f"{_clean(self.name)}[{_clean(one)}]" for one in (*self.levels, OTHER))


class Encoding(Struct, frozen=True, forbid_unknown_fields=True, tag_field="features", tag="table"):
    """What the columns of a table become; as JSON the definition of a model's contract.

    Attributes:
        split: Whether examples were split by time, or by a hash of the customer.
        columns: In the order of their features.
    """

    split: Literal["time", "customer"]
    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the F features."""
        return tuple(name for column in self.columns for name in column.features)

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """Of the F features."""
        return tuple(
            column.transform if column.kind == "number" else "none"
            for column in self.columns for _ in column.features
        )  # fmt: skip

    @property
    def contract(self) -> FeatureContract:
        """What a model that reads these features is fitted on."""
        return FeatureContract(self.names, msgspec.json.encode(self).decode())

    @classmethod
    def of(cls, contract: FeatureContract) -> Encoding | None:
        """That of a model; None of a model for a stream."""
        try:
            return msgspec.json.decode(contract.definition, type=cls)
        except msgspec.DecodeError:
            return None


def learn(
    table: pa.Table, roles: Roles, spec: TableSpec, declared: Mapping[str, Transform],
    before: Encoding | None = None,
) -> Encoding:  # fmt: skip
    """What the columns of a table become.

    Args:
        table: The rows.
        roles: Its columns.
        spec: The section of the campaign file.
        declared: Transform of each feature of the campaign's stream, for columns that are called so.
        before: Of the champion: kept when it has every level that is frequent now, so that both models
            can be compared.

    Raises:
        TableError: A column is neither numbers nor categories.
    """
    columns = []
    for name in roles.features:
        kind = _kind(table.schema.field(name).type, name, is_category=name in spec.categories)
        if kind == "category":
            columns.append(Column(name, kind, levels=_levels(table[name])))
        else:
            transform = spec.transforms.get(name, declared.get(name, "none"))
            columns.append(Column(name, kind, transform))
    fresh = Encoding("time" if roles.time else "customer", tuple(columns))
    names = fresh.names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TableError(f"expected columns that can be told apart, got more of {', '.join(twice)}")
    return before if before is not None and _covers(before, fresh) else fresh


def encode(table: pa.Table, encoding: Encoding) -> Float64s:
    """The features of the rows. Shape (n, F), float64, NaN where missing.

    Raises:
        TableError: A column is missing, or a value is not what it should be.
    """
    out = np.empty((table.num_rows, len(encoding.names)))
    at = 0
    for column in encoding.columns:
        if column.name not in table.column_names:
            raise TableError(
                f'expected a column "{column.name}", which the model was fitted on, got none; '
                f"{closest(column.name, table.column_names)}"
            )
        width = len(column.features)
        values = table[column.name]
        if column.kind == "number":
            out[:, at] = numbers(column.name, values)
        else:
            out[:, at : at + width] = _one_hot(values, column.levels)
        at += width
    return out


def numbers(name: str, values: pa.ChunkedArray, expected: str = "a number") -> Float64s:
    """A column as numbers, NaN where there is none. Shape (n,), float64.

    Raises:
        TableError: A value is no number, or infinite.
    """
    if _is_text(values.type):
        return _parsed(name, values, expected)
    try:
        found = pc.cast(values, pa.float64(), safe=False)
    except pa.ArrowException as exc:
        raise TableError(f'column "{name}": expected numbers, got {values.type}') from exc
    out: Float64s = np.array(found.to_numpy(), dtype=np.float64)
    infinite = np.flatnonzero(np.isinf(out))
    if len(infinite):
        raise wrong_value(name, int(infinite[0]), expected, out[infinite[0]], len(infinite) - 1)
    return out


def texts(values: pa.ChunkedArray) -> pa.Array:
    """A column as texts, null where there is nothing; 1.0 is "1", as where it is a whole number."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), None, values)
        whole = pc.all(pc.equal(pc.round(values), values)).as_py()
        values = pc.cast(values, pa.int64()) if whole is not False else values
    return pc.cast(values, pa.string())


def _kind(kind: pa.DataType, name: str, *, is_category: bool) -> Literal["number", "category"]:
    if is_category or _is_text(kind):
        return "category"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return "number"
    if pa.types.is_decimal(kind) or pa.types.is_null(kind):
        return "number"
    raise TableError(
        f'column "{name}": expected numbers or categories, got {kind}. Make it a number, such as days '
        "before the action, or name it in table.ignore"
    )


def _is_text(kind: pa.DataType) -> bool:
    of = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(of) or pa.types.is_large_string(of))


def _levels(values: pa.ChunkedArray) -> tuple[str, ...]:
    counts = pc.value_counts(texts(values).drop_null())
    pairs = [(one["values"], one["counts"]) for one in counts.to_pylist()]
    frequent = sorted(
        (pair for pair in pairs if pair[1] >= LEVEL_ROWS_MIN), key=lambda pair: (-pair[1], pair[0])
    )
    return tuple(sorted(level for level, _ in frequent[:LEVELS_MAX]))


def _one_hot(values: pa.ChunkedArray, levels: tuple[str, ...]) -> Float64s:
    text = texts(values)
    place = pc.index_in(text, pa.array(levels, pa.string())).to_numpy(zero_copy_only=False)
    place = np.where(np.isnan(place.astype(np.float64)), len(levels), place).astype(np.int64)
    out = np.zeros((len(text), len(levels) + 1))
    out[np.arange(len(text)), place] = 1.0
    out[text.is_null().to_numpy(zero_copy_only=False)] = 0.0
    return out


def _covers(before: Encoding, fresh: Encoding) -> bool:
    """Whether one of before has the same columns, and every level that is frequent now."""
    same: bool = [msgspec.structs.replace(one, levels=()) for one in before.columns] == [
        msgspec.structs.replace(one, levels=()) for one in fresh.columns
    ]
    return same and before.split == fresh.split and all(
        set(new.levels) <= set(old.levels)
        for old, new in zip(before.columns, fresh.columns, strict=True)
    )  # fmt: skip


def _parsed(name: str, values: pa.ChunkedArray, expected: str) -> Float64s:
    text = texts(values).to_pylist()
    out = np.full(len(text), np.nan)
    wrong = []
    for row, one in enumerate(text):
        if one is None:
            continue
        try:
            out[row] = float(one)
        except ValueError:
            wrong.append(row)
    if wrong:
        raise wrong_value(name, wrong[0], expected, text[wrong[0]], len(wrong) - 1)
    return out


def _clean(name: str) -> str:
    return re.sub(r"[\s<>=!]+", "_", name.strip())
