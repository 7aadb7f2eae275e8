"""Features of examples: the same in memory and on disk, and each example once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.trainer.examples.dataset_harness import part_of
from trainer.errors import TrainingError
from trainer.examples.values import FileValues, ValuesWriter


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(0, 5), max_size=8),
    room=st.integers(0, 20),
    ends=st.tuples(st.integers(0, 30), st.integers(0, 30)),
)
def test_values_are_the_same_in_memory_and_in_a_file(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], room: int, ends: tuple[int, int]
) -> None:
    path = tmp_path_factory.mktemp("values") / "features"
    writer = ValuesWriter(path, 3, room * 24)
    random = np.random.default_rng(len(sizes))
    blocks = [random.normal(size=(size, 3)) for size in sizes]
    for block in blocks:
        writer.append(block)
    expected = np.concatenate([np.empty((0, 3)), *blocks])
    expected_in_file = len(expected) > room
    values = writer.finish()
    assert isinstance(values, FileValues) == expected_in_file == path.exists()
    assert len(values) == len(writer) == len(expected)
    assert values[ends[0] : ends[1]].tobytes() == expected[ends[0] : ends[1]].tobytes()
    assert values[: ends[1]].shape == expected[: ends[1]].shape


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.integers(0, 30), max_size=20).map(sorted),
    block_rows=st.integers(1, 40),
    seed=st.integers(0, 9),
)
def test_blocks_have_every_example_once(
    monkeypatch: pytest.MonkeyPatch, rows: list[int], block_rows: int, seed: int
) -> None:
    monkeypatch.setattr("trainer.examples.part.BLOCK_BYTES", block_rows * 24)
    stored = np.arange(93.0).reshape(31, 3)
    part = replace(part_of(stored), rows=np.array(rows, np.int64))
    assert part.block_rows == block_rows
    raw = list(part.raw_blocks())
    assert [i for where, _ in raw for i in range(where.start, where.stop)] == list(range(len(rows)))
    assert np.concatenate([stored[:0], *(x for _, x in raw)]).tolist() == stored[rows].tolist()
    shuffled = list(part.shuffled_blocks(seed))
    index = [int(i) for which, _ in shuffled for i in which]
    assert sorted(index) == list(range(len(rows)))
    x = np.concatenate([stored[:0], *(x for _, x in shuffled)])
    assert x.tolist() == stored[rows][index].tolist()


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"expected to keep features on disk.*memory_mb"):
        ValuesWriter(tmp_path / "absent" / "f", 1, 0).append(np.ones((1, 1)))
