"""Tables as files: Parquet, or CSV with a heading, also compressed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from trainer.table.errors import TableError

_PARQUET = {".parquet", ".pq"}
_KINDS = "expected a table, .parquet or .csv (also .csv.gz)"


def read_table(path: Path) -> pa.Table:
    """Reads a table.

    Raises:
        TableError: It is missing, cannot be read, has no rows, or two columns of one name.
    """
    _expect_kind(path)
    try:
        table = pq.read_table(path) if is_parquet(path) else _read_csv(path)
    except (OSError, pa.ArrowException) as exc:
        raise TableError(f"{path}: {_KINDS}, {exc}") from exc
    names = table.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TableError(f"{path}: expected each column once, got {', '.join(twice)} again")
    if table.num_rows == 0:
        raise TableError(f"{path}: expected rows, got none")
    return table


def write_table(table: pa.Table, path: Path) -> None:
    """Writes a table, as the name of the file says.

    Raises:
        TableError: It cannot be written there.
    """
    _expect_kind(path)
    try:
        if is_parquet(path):
            pq.write_table(table, path)
        elif path.suffix == ".gz":
            with pa.CompressedOutputStream(str(path), "gzip") as out:
                pa_csv.write_csv(table, out)
        else:
            pa_csv.write_csv(table, path)
    except (OSError, pa.ArrowException) as exc:
        raise TableError(f"{path}: expected to write a table there, {exc}") from exc


def is_parquet(path: Path) -> bool:
    """Whether the name says Parquet."""
    return path.suffix.lower() in _PARQUET


def _expect_kind(path: Path) -> None:
    kinds = [suffix.lower() for suffix in path.suffixes]
    if not is_parquet(path) and kinds[-1:] != [".csv"] and kinds[-2:] != [".csv", ".gz"]:
        raise TableError(f'{path}: {_KINDS}, got "{path.name}"')


def _read_csv(path: Path) -> pa.Table:
    """An empty field is nothing, also where texts stand; whole numbers before a comma are numbers."""
    convert = pa_csv.ConvertOptions(
        strings_can_be_null=True, null_values=["", "NA", "NULL", "null", "NaN", "nan"]
    )
    return pa_csv.read_csv(path, convert_options=convert)
