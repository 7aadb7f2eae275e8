"""One Parquet file of the archive, whole in memory: encoded, decoded, checked.

Rules of this file
1. Plain Parquet that other readers take: zstd, no encoding younger than they are.
2. What cannot be read, or is not what its name says, is an error that names the file.
3. Files of all formats are read, and become what the newest format says.
"""

from __future__ import annotations

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.errors import NO_JSON
from stream.kafka.skip_list import within
from trainer.archive.columns import SCHEMA
from trainer.archive.layout import FACTS, FILE_FORMAT, Facts
from trainer.errors import TrainingError

_COLUMNS = {FILE_FORMAT: SCHEMA, 1: SCHEMA.remove(SCHEMA.get_field_index("headers"))}
"""By format."""


def encode(table: pa.Table, facts: Facts) -> bytes:
    """The bytes of a file.

    Args:
        table: Records, with the columns of `columns.SCHEMA`.
        facts: What the file says about itself.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata({FACTS: msgspec.json.encode(facts)}),
        sink,
        compression="zstd",
        use_dictionary=["key"],
        write_statistics=["offset", "timestamp_ms"],
        write_page_checksum=True,
    )
    encoded: bytes = sink.getvalue().to_pybytes()
    return encoded


def decode(data: bytes, expected: Facts, where: str) -> tuple[pa.Table, Facts]:
    """The records of a file, checked, and all that it says about itself, as of the newest format.

    Args:
        data: The bytes of the file.
        expected: What its name says.
        where: The file, for messages.

    Raises:
        TrainingError: It is damaged, foreign or of another version.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        facts = _facts(file, expected, where)
        table = file.read(use_threads=False)
    except (pa.ArrowException, OSError) as exc:
        raise TrainingError(
            f"expected a Parquet file of the archive in {where}, got: {exc}. Put it back from a "
            "copy. If there is none, but Kafka still holds its offsets, archive the topic to "
            "another folder"
        ) from exc
    columns = _COLUMNS[facts.format]
    if not table.schema.equals(columns):
        raise _foreign(where, f"the columns {columns.names}", f"{table.schema.names}")
    if columns is not SCHEMA:
        table = table.append_column(
            SCHEMA.field("headers"), pa.nulls(len(table), pa.large_binary())
        )
        lost = ((facts.first_offset, facts.next_offset),)
        facts = msgspec.structs.replace(facts, format=FILE_FORMAT, headerless=lost)
    if table.num_rows != facts.rows:
        raise _foreign(where, f"{facts.rows} records", str(table.num_rows))
    edges = [[facts.first_offset - 1], table["offset"].to_numpy(), [facts.next_offset]]
    if (np.diff(np.concatenate(edges)) <= 0).any():
        raise _foreign(
            where, f"offsets rising from {facts.first_offset} to {facts.next_offset}", "others"
        )
    return table, facts


def cut(data: bytes, merged: Facts, part: Facts, where: str) -> bytes:
    """A file that was merged into another one, as it was.

    Args:
        data: The bytes of the merged file.
        merged: What its name says.
        part: What the name of the file says that it was merged from.
        where: The merged file, for messages.

    Raises:
        TrainingError: The merged file is damaged or foreign.
    """
    table, facts = decode(data, merged, where)
    first, next_ = part.first_offset, part.next_offset
    low, high = np.searchsorted(table["offset"].to_numpy(), (first, next_)).tolist()
    lost = tuple(one for one in facts.lost if first <= one[0] < next_)
    skipped = tuple(within(facts.skipped or (), first, next_)) or msgspec.UNSET
    headerless = tuple(within(facts.headerless or (), first, next_)) or msgspec.UNSET
    return encode(
        table.slice(low, high - low),
        msgspec.structs.replace(
            part, rows=high - low, lost=lost, skipped=skipped, headerless=headerless
        ),
    )


def _facts(file: pq.ParquetFile, expected: Facts, where: str) -> Facts:
    stated = (file.schema_arrow.metadata or {}).get(FACTS)
    if stated is None:
        raise _foreign(where, "a file that opportune archive has written", "one of somebody else")
    try:
        facts = msgspec.json.decode(stated, type=Facts)
    except NO_JSON as exc:
        raise _foreign(where, f"facts of format {FILE_FORMAT}", str(exc)) from exc
    if facts.format not in _COLUMNS:
        formats = " or ".join(map(str, sorted(_COLUMNS)))
        raise _foreign(where, f"a file of format {formats}", str(facts.format))
    expected = msgspec.structs.replace(expected, format=facts.format)
    named = msgspec.structs.replace(
        facts, rows=expected.rows, lost=(), skipped=msgspec.UNSET, headerless=msgspec.UNSET
    )
    for name in Facts.__struct_fields__:
        wanted, got = getattr(expected, name), getattr(named, name)
        if got != wanted:
            raise _foreign(where, f"{name} {wanted!r}", repr(got))
    return facts


def _foreign(where: str, wanted: str, got: str) -> TrainingError:
    return TrainingError(
        f"expected {wanted} in {where}, got {got}. Move the file out of the archive, or put the "
        "right one in its place"
    )
