"""What each row of a table says beside its features: who, what was done, when, what followed.

Rules of this file
1. A value that cannot be read is an error with its column and row, never a guess.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stream.campaign.file import Campaign
from stream.campaign.sections.table_section import TableSpec
from stream.columns import Bools, Float64s, Int64s, Spans
from stream.compiled.keyed_hash import hashes_of, key_of
from stream.events.times.timestamps import text_ms
from stream.policy.decision import NOTHING
from trainer.examples.chance import NOT_SAID
from trainer.table.encoding import numbers, texts
from trainer.table.errors import TableError, closest, nearest, wrong_value
from trainer.table.roles import Roles

_YES, _NO = ("true", "1", "yes", "t", "y"), ("false", "0", "no", "f", "n")
_LEFT_ALONE = ("control", "none", "no contact", "no e-mail", "no email", "holdout")
_SECONDS_MAX = 100_000_000_000
"""Times as whole numbers below it are seconds since 1970 (until the year 5138), others milliseconds."""


def customers(table: pa.Table, column: str) -> pa.Array:
    """Id of each row's customer as a text; the number of the row, from 0 on, where there is no column.

    Raises:
        TableError: A row has no customer.
    """
    if not column:
        return pc.cast(pa.array(np.arange(table.num_rows)), pa.string())
    found = texts(table[column])
    _expect_all(column, found, "the id of a customer")
    return found


def numbered(ids: pa.Array) -> Int64s:
    """Number of each customer from 0 on, in the order of their ids. Shape (n,), int64."""
    values = ids.to_numpy(zero_copy_only=False)
    try:
        order = values.astype(np.int64)  # numbers in the order of numbers
        if not (order.astype(str) == values.astype(str)).all():
            order = values.astype(str)
    except (ValueError, OverflowError):
        order = values.astype(str)
    number: Int64s = np.unique(order, return_inverse=True)[1].astype(np.int64)
    return number


def by_chance(ids: pa.Array, *words: str) -> Int64s:
    """A number for each customer that follows from their id and some words alone. Shape (n,), int64, below 2^32."""
    spans = Spans.of([one.encode() for one in ids.to_pylist()])
    return (hashes_of(spans, key_of(*words)) >> np.uint64(32)).astype(np.int64)


def actions(table: pa.Table, roles: Roles, campaign: Campaign) -> Int64s:
    """Index of what was done among the strategies, S for nothing. Shape (n,), int64.

    Raises:
        TableError: There is no such column, a row has nothing in it, or a value is no strategy.
    """
    if not roles.action:
        raise TableError(
            "expected a column of what was done, got none of the usual names among "
            f"{', '.join(table.column_names)}. Name it in table.action"
        )
    names = [*(strategy.id for strategy in campaign.strategies), NOTHING]
    found = texts(table[roles.action])
    _expect_all(roles.action, found, f"one of {', '.join(names)}")
    said = found.dictionary_encode()
    values = said.dictionary.to_pylist()
    meaning = {value: _meant(value, values, names, campaign.table) for value in values}
    for value, one in meaning.items():
        if one is None:
            row = found.index(value).as_py()
            raise TableError(
                f'column "{roles.action}", row {row + 1:,}: expected one of {", ".join(names)}, got '
                f'"{value}". Say what it is in table.actions, such as '
                f'"{value}" = "{nearest(value, names)[0]}"'
            )
    index = np.array([names.index(str(meaning[value])) for value in values], np.int64)
    done: Int64s = index[_codes(said)]
    return done


def propensities(
    table: pa.Table, roles: Roles, spec: TableSpec, done: Int64s, names: Sequence[str]
) -> Float64s:
    """Probability of what was done, NaN where nobody says. Shape (n,), float64.

    Args:
        table: The rows.
        roles: Its columns.
        spec: The section of the campaign file.
        done: Of `actions`. Shape (n,), int64.
        names: Of strategies, then of nothing.

    Raises:
        TableError: One is no probability; or those of all actions do not sum to 1.
    """
    if roles.propensity:
        found = numbers(roles.propensity, table[roles.propensity])
        wrong = np.flatnonzero(~np.isnan(found) & ~((found > 0) & (found <= 1)))
        if len(wrong):
            raise wrong_value(
                roles.propensity, int(wrong[0]),
                "the probability of what was done, above 0 and at most 1", found[wrong[0]],
                len(wrong) - 1,
            )  # fmt: skip
        return found
    given = spec.propensity
    occurring = [names[k] for k in np.unique(done)]
    if isinstance(given, str):
        return np.full(len(done), np.nan)
    share = dict.fromkeys(occurring, given) if isinstance(given, float) else dict(given)
    unsaid = [name for name in occurring if name not in share]
    if unsaid:
        raise TableError(
            f"at table.propensity: expected a probability for everything that was done, got none for "
            f"{', '.join(unsaid)}"
        )
    total = sum(share.values())
    if abs(total - 1) > _SUM_OFF_MAX:
        raise TableError(
            f"at table.propensity: expected probabilities of {', '.join(share)} that sum to 1, got "
            f"{total:g}"
        )
    return np.array([share.get(name, np.nan) / total for name in names])[done]


_SUM_OFF_MAX = 0.011
"""Three times 0.33 is meant to be 1."""


def flags(name: str, values: pa.ChunkedArray) -> Bools:
    """A column of yes and no. Shape (n,), bool.

    Raises:
        TableError: A value is neither.
    """
    found = pc.utf8_lower(texts(values))
    said = found.dictionary_encode()
    words = said.dictionary.to_pylist()
    wrong = [word for word in words if word not in _YES and word not in _NO]
    expected = "true or false, 1 or 0"
    if wrong:
        rows = np.flatnonzero(
            pc.equal(found, wrong[0]).fill_null(False).to_numpy(zero_copy_only=False)
        )
        raise wrong_value(name, int(rows[0]), expected, wrong[0])
    _expect_all(name, found, expected)
    yes = np.array([word in _YES for word in words], np.bool_)
    found_flags: Bools = yes[_codes(said)]
    return found_flags


def amounts(name: str, values: pa.ChunkedArray, amount_max: float | None) -> tuple[Float64s, int]:
    """Money of each row, 0 where there is nothing, cut at what was declared; and how many were cut.

    Returns:
        Shape (n,), float64.

    Raises:
        TableError: A value is no number.
    """
    found = np.nan_to_num(numbers(name, values, "an amount of money"))
    if amount_max is None:
        return found, 0
    cut = np.clip(found, -amount_max, amount_max)
    return cut, int((cut != found).sum())


def times_ms(name: str, values: pa.ChunkedArray) -> Int64s:
    """A column of times as epoch milliseconds. Shape (n,), int64.

    Raises:
        TableError: A value is no time.
    """
    kind, expected = values.type, "a time, such as 2026-11-01 or 2026-11-01T12:00:00Z"
    if pa.types.is_integer(kind):
        _expect_all(name, values, expected)
        whole: Int64s = values.to_numpy().astype(np.int64)
        return whole * 1000 if np.abs(whole).max(initial=0) < _SECONDS_MAX else whole
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _texts_ms(name, values, expected)
    try:
        zone = "UTC" if getattr(kind, "tz", None) else None
        read = pc.cast(values, pa.timestamp("ms", zone), safe=False)
    except pa.ArrowException as exc:
        raise TableError(f'column "{name}": expected times, got {kind}') from exc
    _expect_all(name, read, expected)
    found: Int64s = pc.cast(read, pa.int64()).to_numpy()
    return found


def _texts_ms(name: str, values: pa.ChunkedArray, expected: str) -> Int64s:
    said = texts(values).dictionary_encode()
    _expect_all(name, said, expected)
    read = []
    for text in said.dictionary.to_pylist():
        try:
            read.append(text_ms(text))
        except ValueError as exc:
            row = said.indices.index(len(read)).as_py()
            raise wrong_value(name, row, expected, text) from exc
    found: Int64s = np.array(read, np.int64)[_codes(said)]
    return found


def could_be(name: str, values: pa.ChunkedArray, strategies: Sequence[str]) -> Int64s:
    """Strategies that could have been taken, as bits, `NOT_SAID` where nobody says. Shape (n,), int64.

    Raises:
        TableError: One is no strategy of the campaign.
    """
    said = texts(values).dictionary_encode()
    bits = []
    for text in said.dictionary.to_pylist():
        unknown = [one for one in text.split() if one not in strategies]
        if unknown:
            raise TableError(
                f'column "{name}": expected strategies of the campaign with spaces between them, got '
                f'"{unknown[0]}"; {closest(unknown[0], strategies)}'
            )
        bits.append(sum(1 << strategies.index(one) for one in set(text.split())))
    found: Int64s = np.array([*bits, NOT_SAID], np.int64)[_codes(said)]
    return found


def _codes(said: pa.DictionaryArray) -> Int64s:
    """Index of each value into the dictionary, -1 for none. Shape (n,), int64."""
    found: Int64s = said.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def _meant(value: str, values: Sequence[str], names: Sequence[str], spec: TableSpec) -> str | None:
    """What a value of the column of actions stands for."""
    if value in spec.actions:
        return spec.actions[value]
    if value in names:
        return value
    lowered = value.strip().lower()
    for name in names:
        if name.lower() == lowered:
            return name
    if lowered in _LEFT_ALONE:
        return NOTHING
    if len(names) == 2 and {one.lower() for one in values} <= {*_YES, *_NO}:
        return names[0] if lowered in _YES else NOTHING  # treated or not
    return None


def _expect_all(name: str, values: pa.Array | pa.ChunkedArray, expected: str) -> None:
    if values.null_count:
        rows = np.flatnonzero(np.array(values.is_null()))
        raise wrong_value(name, int(rows[0]), expected, None, len(rows) - 1)
