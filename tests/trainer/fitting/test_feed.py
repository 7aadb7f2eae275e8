"""The feed: every example once an epoch, in an order of its own, a pool at a time."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.trainer.examples.dataset_harness import part_of
from tests.trainer.fitting.fit_parts import FEATURES
from trainer.examples.part import Part
from trainer.fitting.feed import Feed


@pytest.fixture
def small_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of more than one pool without millions of rows."""
    monkeypatch.setattr("trainer.examples.part.BLOCK_ROWS", 40)


def numbered(n: int) -> Part:
    """Every row says which one it is; of the values only every second row is in the part."""
    values = np.repeat(np.arange(2 * n, dtype=np.float64)[:, None], FEATURES, axis=1)
    keep = np.arange(0, 2 * n, 2)
    part = part_of(values, np.zeros(2 * n), np.zeros(2 * n))
    return part.take(keep)


@pytest.mark.usefixtures("small_pools")
@pytest.mark.parametrize(("n", "batch"), [(500, 64), (500, 7), (500, 500), (500, 1000), (1, 4)])
def test_an_epoch_sees_every_example_once_in_full_batches(n: int, batch: int) -> None:
    part = numbered(n)
    target, weight = np.arange(n, dtype=np.int32), np.arange(n, dtype=np.float32)
    feed = Feed(part, target, weight, batch, seed=3)
    orders = []
    for epoch in (0, 1, 0):
        feed.on_epoch_begin(epoch)
        batches = list(feed.batches.as_numpy_iterator())
        sizes = [len(x) for x, _, _ in batches]
        assert sizes == [batch] * (n // batch) + [n % batch] * (n % batch > 0)
        assert len(feed.batches) == len(batches)
        x, t, w = map(np.concatenate, zip(*batches, strict=True))
        assert (x == 2 * t[:, None]).all(), "features and targets belong together"
        assert (w == t).all()
        assert sorted(t.tolist()) == list(range(n))
        orders.append(t.tolist())
    assert orders[0] == orders[2]
    assert n == 1 or orders[0] != orders[1]
    assert n == 1 or orders[0] != sorted(orders[0])
    straight = Feed(part, target, weight, batch, seed=None).batches
    x, t, w = map(np.concatenate, zip(*straight, strict=True))
    assert t.tolist() == list(range(n))
    assert (x == 2 * t[:, None]).all()


@pytest.mark.usefixtures("small_pools")
def test_one_pool_of_blocks_is_in_memory_at_a_time() -> None:
    """Blocks are read when their pool is due, not all at the start of an epoch."""
    part = numbered(2000)
    read = []

    class Watched:
        def __len__(self) -> int:
            return len(part.values)

        def __getitem__(self, rows: slice) -> Any:
            read.append(rows)
            return part.values[rows]

    zeros = np.zeros(2000, np.int32), np.zeros(2000, np.float32)
    feed = Feed(replace(part, values=Watched()), *zeros, 10, seed=3)
    batches = feed.batches.as_numpy_iterator()
    next(batches)
    assert 0 < len(read) <= 8, "of 100 blocks two pools at most, one of them ahead"


def test_a_closed_feed_keeps_no_examples() -> None:
    part = numbered(50)
    with Feed(part, np.zeros(50, np.int32), np.zeros(50, np.float32), 10, seed=3) as feed:
        assert len(list(feed.batches)) == 5
        rows = weakref.ref(part.rows)
    del part
    gc.collect()
    assert rows() is None  # though TensorFlow never forgets a generator
