"""The ledger never lets a commit pass a chunk that is not done."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream.worker.faust_app.ledger import Ledger


@given(st.lists(st.integers(1, 500), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_committed_is_the_end_of_the_done_prefix_for_any_order(sizes: list[int], rng) -> None:  # type: ignore[no-untyped-def]
    ledger, ends, chunks = Ledger(), [], []
    end = 0
    for size in sizes:
        end += size
        chunk = object()
        ledger.add("tp", end, chunk)
        ends.append(end)
        chunks.append(chunk)
    order = list(range(len(sizes)))
    rng.shuffle(order)
    done: set[int] = set()
    committed = 0
    for i in order:
        assert ledger.done("tp", chunks[i])
        done.add(i)
        offset = ledger.take("tp")
        committed = offset if offset is not None else committed
        prefix = next((k for k in range(len(sizes)) if k not in done), len(sizes))
        assert committed == (ends[prefix - 1] if prefix else 0)
    assert committed == end
    assert ledger.pending() == 0


def test_what_was_forgotten_can_not_be_done() -> None:
    ledger, chunk = Ledger(), object()
    ledger.add("a", 10, chunk)
    ledger.add("b", 10, chunk)
    ledger.forget("a")
    assert not ledger.done("a", chunk)
    assert ledger.take("a") is None
    assert ledger.done("b", chunk)
    ledger.forget()
    assert list(ledger.partitions()) == []


def test_an_equal_message_is_not_the_same_message() -> None:
    ledger = Ledger()
    ledger.add("a", 10, [1])
    assert not ledger.done("a", [1])


def test_what_was_not_committed_is_taken_again_with_what_came_since() -> None:
    ledger, first, second = Ledger(), object(), object()
    ledger.add("a", 10, first)
    ledger.done("a", first)
    assert ledger.take("a") == 10
    ledger.give_back("a", 10)
    ledger.add("a", 20, second)
    assert ledger.take("a") == 10
    ledger.give_back("a", 10)
    ledger.done("a", second)
    assert ledger.take("a") == 20
    assert ledger.take("a") is None
