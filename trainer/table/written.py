"""The examples of a training as a table: what a stream was learned from, for other tools and for `--table`.

Rules of this file
1. Columns have the names that a table is read by. Features are as they were before transform and
   normalization, in float64: a training on the table learns the same.
2. Customers are numbers: no id leaves the topics this way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from stream.columns import Float64s
from trainer.examples.dataset import Dataset
from trainer.examples.inputs import Inputs
from trainer.examples.part import BLOCK_ROWS
from trainer.table.errors import TableError

_OTHERS = ("customer", "time", "action", "propensity", "held_out", "possible", "outcome", "amount")


def table_of(inputs: Inputs, dataset: Dataset, names: Sequence[str]) -> pa.Table:
    """The examples, a row each, in the order in which they are learned from.

    Args:
        inputs: The features.
        dataset: The examples.
        names: Strategy of each output, "nothing" among them.

    Raises:
        TableError: A feature has the name of another column.
    """
    taken = [name for name in inputs.names if name in _OTHERS]
    if taken:
        raise TableError(
            f"expected features with other names than {', '.join(_OTHERS)}, got {', '.join(taken)}. "
            "Give the feature another name in the campaign file"
        )
    logged = dataset.logged
    time = pa.array(dataset.time_ms.astype("datetime64[ms]"))
    columns = {
        "customer": pa.array(dataset.customer),
        "time": time.cast(pa.timestamp("ms", "UTC")),
        "action": pa.array(np.array(names)[dataset.strategy]),
        "propensity": pa.array(logged.propensity, from_pandas=True),
        "held_out": pa.array(logged.held_out),
        "possible": pa.array([_listed(bits, names) for bits in logged.possible.tolist()]),
        "outcome": pa.array(dataset.outcome),
    }
    if dataset.amount is not None:
        columns["amount"] = pa.array(dataset.amount)
    values = _values(dataset)
    for k, name in enumerate(inputs.names):
        columns[name] = pa.array(values[:, k], from_pandas=True)
    return pa.table(columns)


def _values(dataset: Dataset) -> Float64s:
    out = np.empty((len(dataset), len(dataset.transforms)))
    for first in range(0, len(dataset), BLOCK_ROWS):
        rows = dataset.rows[first : first + BLOCK_ROWS]
        start = int(rows[0])
        out[first : first + len(rows)] = dataset.values[start : int(rows[-1]) + 1][rows - start]
    return out


def _listed(bits: int, names: Sequence[str]) -> str | None:
    """Strategies with spaces between them; None where nobody said."""
    if bits < 0:
        return None
    return " ".join(name for k, name in enumerate(names) if bits >> k & 1)
