"""Events that come again: against a twin that keeps, of each customer, the ids of the last events."""

from __future__ import annotations

from collections import defaultdict, deque

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.contract import Normalization
from stream.campaign.file import parse
from stream.columns import Spans
from stream.events.event_hash import event_hashes
from stream.features import kernel
from stream.features.kernel_repeats import find_repeats
from stream.features.plan import Applied, FeaturePlan, apply, compile_features
from tests.stream.features.features_harness import (
    CAMPAIGN,
    HOUR,
    NAMES,
    Event,
    batch_of,
    event,
    pieces,
)

PARSED = parse(CAMPAIGN)


def plan_of(remembered: int) -> FeaturePlan:
    mapping = msgspec.structs.replace(PARSED.events, repeats_remembered=remembered)
    return compile_features(msgspec.structs.replace(PARSED, events=mapping))


PLANS = {remembered: plan_of(remembered) for remembered in (0, 1, 2, 5)}


class Fed:
    """A table of three customers, and what the kernel said of each event."""

    def __init__(self, plan: FeaturePlan) -> None:
        self.plan = plan
        self.state = np.zeros((3, plan.row_words))

    def feed(self, events: list[Event]) -> Applied:
        rows = np.array([e.customer for e in events], np.int64)
        constants = Normalization.identity(len(NAMES))
        return apply(self.plan, self.state, rows, batch_of(events), events[0].topic, constants)

    def feed_all(self, log: list[Event]) -> list[bool]:
        parts = [self.feed(piece) for piece in pieces(log)]
        return [bool(again) for part in parts for again in part.repeated]

    @property
    def counted(self) -> bytes:
        """The rows without their offsets."""
        return np.delete(self.state, self.plan.offset_words, axis=1).tobytes()


def twin(log: list[Event], remembered: int) -> list[bool]:
    """Whether each event is among the last that its customer had."""
    last: dict[int, deque[tuple[int, int]]] = defaultdict(lambda: deque(maxlen=remembered))
    out = []
    for one in log:
        known, identity = last[one.customer], (one.topic, one.event_hash)
        out.append(one.event_hash != 0 and identity in known)
        if one.event_hash and not out[-1]:
            known.append(identity)
    return out


EVENTS = st.tuples(st.integers(0, 2), st.integers(0, 1), st.sampled_from([0, 2, 3, 4, 6]))


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    log: list[Event] = []
    for customer, topic, event_hash in draw(st.lists(EVENTS, min_size=1, max_size=60)):
        fields = {"customer": customer, "topic": topic, "event_hash": event_hash}
        log.append(event(HOUR * len(log), len(log) % 3, len(log), revenue=2.5, **fields))
    return log


@given(logs(), st.sampled_from(sorted(PLANS)))
def test_repeated_is_who_is_among_the_last(log: list[Event], remembered: int) -> None:
    assert Fed(PLANS[remembered]).feed_all(log) == twin(log, remembered)


@given(logs(), st.sampled_from(sorted(PLANS)))
def test_what_is_repeated_changes_nothing_but_the_offset(log: list[Event], remembered: int) -> None:
    whole, once = Fed(PLANS[remembered]), Fed(PLANS[remembered])
    repeated = whole.feed_all(log)
    kept = [one for one, again in zip(log, repeated, strict=True) if not again]
    assert once.feed_all(kept) == [False] * len(kept)
    assert whole.counted == once.counted
    for one in log:  # of each topic that a customer has, the last event stands in the row
        last = max(e.offset for e in log if (e.customer, e.topic) == (one.customer, one.topic))
        offsets = whole.state.view(np.int64)[one.customer, whole.plan.offset_words]
        assert offsets[one.topic] == last + 1


@given(logs(), st.sampled_from(sorted(PLANS)), st.lists(st.integers(0, 60), max_size=8))
def test_cutting_a_log_changes_no_bit(log: list[Event], remembered: int, cuts: list[int]) -> None:
    whole, cut = Fed(PLANS[remembered]), Fed(PLANS[remembered])
    repeated = whole.feed_all(log)
    assert [again for piece in pieces(log, cuts) for again in cut.feed(piece).repeated] == repeated
    assert cut.state.tobytes() == whole.state.tobytes()


@given(logs(), st.sampled_from(sorted(PLANS)))
def test_what_is_read_again_is_replayed_and_not_repeated(log: list[Event], remembered: int) -> None:
    fed = Fed(PLANS[remembered])
    repeated = fed.feed_all(log)
    before = fed.state.tobytes()
    again = [fed.feed(piece) for piece in pieces(log)]
    counters = np.sum([part.counters for part in again], axis=0)
    assert counters[kernel.REPLAYED] == len(repeated)
    assert counters[kernel.REPEATED] == 0
    assert not any(part.applied.any() or part.repeated.any() for part in again)
    assert fed.state.tobytes() == before


@given(logs(), st.sampled_from(sorted(PLANS)))
def test_a_replay_finds_what_the_kernel_finds(log: list[Event], remembered: int) -> None:
    row, topic = (np.array([getattr(e, name) for e in log]) for name in ("customer", "topic"))
    hashes = np.array([e.event_hash for e in log], np.uint64)
    out = np.zeros(len(log), np.bool_)
    find_repeats(row, topic, hashes, np.zeros((3, 1 + remembered), np.int64), out)
    assert out.tolist() == Fed(PLANS[remembered]).feed_all(log)


@pytest.mark.parametrize("remembered", [1, 2, 5])
def test_the_last_are_remembered_and_none_before(remembered: int) -> None:
    def fed(ids: list[int]) -> list[bool]:
        log = [event(0, 1, offset, event_hash=1 + one) for offset, one in enumerate(ids)]
        return Fed(PLANS[remembered]).feed_all(log)

    for first in range(3):  # wherever in the ring they begin
        ids = list(range(first + remembered))
        assert fed([*ids, *ids[first:]]) == [False] * len(ids) + [True] * remembered
        assert not any(fed([*range(100, 100 + first), *range(remembered + 1), 0]))


@pytest.mark.parametrize(
    ("said", "after_ms", "in_force"),
    [(0, HOUR, 0), (-2, 0, -2), (0, -HOUR, 1), (1, HOUR, 1), (-1, HOUR, 1)],
)
def test_a_repeated_event_has_no_features_and_only_denies(
    said: int, after_ms: int, in_force: int
) -> None:
    """What is older than the consent in force is not heard again: it may have come before it."""
    fed = Fed(PLANS[2])
    applied = fed.feed([
        event(0, 1, 0, event_hash=2, consent=1),
        event(after_ms, 1, 1, event_hash=2, consent=said),
    ])  # fmt: skip
    assert applied.applied.tolist() == [True, False]
    assert applied.consent.tolist() == [[1, in_force]]
    assert applied.features[0].any()
    assert not applied.features[1].any()
    assert applied.counters.tolist() == [0, 0, 0, 1, 0, 0, 0]


def test_an_id_stands_for_its_event_within_one_topic() -> None:
    fed = Fed(PLANS[5])
    assert fed.feed_all([event(0, 1, 0, event_hash=2), event(0, 1, 0, event_hash=2, topic=1)]) == [
        False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("remembered", "digest"), [(0, "f0008e3299f5"), (1, "25e902ef5cba"), (2, "c5c7d415661c")]
)
def test_a_row_is_laid_out_for_the_events_it_remembers(remembered: int, digest: str) -> None:
    plan = PLANS[remembered]
    assert plan.row_words == 33 + (1 + remembered if remembered else 0)
    assert plan.layout_digest == digest


def test_the_hash_of_an_id_stays_what_it_is() -> None:
    """It lies in changelogs: another one would count every event again that is sent again."""
    ids = Spans.of([b"m-1", None, b"", b"0b3f6a52-7d0c-4a7e-9c55-3f0e6c1a2b4d"])
    assert event_hashes(ids).tolist() == [7703545200829084951, 0, 0, 18114996148283515974]
