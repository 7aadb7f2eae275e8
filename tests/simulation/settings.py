"""What one seed plays: the world, and which classes of faults are on in it ("swarm testing").

A history in which everything may go wrong hides what goes wrong in few things only: so each seed
switches most classes off.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

FAULTS = (
    "kill", "stop", "freeze", "cut_off", "rebalance", "join", "slow_broker", "retention", "layout",
)  # fmt: skip

# A worker that does not know that it has lost its partitions goes on deciding. Of several topics it
# may take another one next than its successor: what both decide is then not the same, by design.
ZOMBIES = ("freeze", "cut_off")
# The same for a moment: Faust lets the group go on while a worker that stops is still publishing. What two
# decide at once under rules about contacts is not the same, since each has a clock and contacts of its own.
OVERLAPS = (*ZOMBIES, "stop")


@dataclass(frozen=True)
class Settings:
    """The draw of one seed. Times in virtual seconds.

    Attributes:
        topics: Event topics.
        partitions: Of every topic.
        customers: How many there are.
        events: How many come.
        loaded_s: For how long they come.
        workers: Workers at the beginning.
        faults: Classes of faults that are on.
        fault_count: Faults of this history.
        sticky: Probability that an assignment keeps owners.
        chunk_events_max: Most records of a chunk.
        fetch_batches_max: Most record batches of one answer.
        inline_events_max: Larger chunks are computed "on another thread".
        fetch_drops: Probability that a fetched chunk is dropped on its way.
        fetch_repeats: Probability that a fetched chunk comes twice.
        send_s: Longest time until a batch is in the log, and again until that is acknowledged.
        call_s: Longest time of a call to the broker.
        compute_s: Longest time of a computation on another thread.
        repeats: Probability that a sender sends an event again, sooner or later.
        snapshots: Whether workers keep the table on disk.
        rules: Whether there are rules about contacts, and another champion in every second worker.
    """

    topics: tuple[str, ...]
    partitions: int
    customers: int
    events: int
    loaded_s: float
    workers: int
    faults: tuple[str, ...]
    fault_count: int
    sticky: float
    chunk_events_max: int
    fetch_batches_max: int
    inline_events_max: int
    fetch_drops: float
    fetch_repeats: float
    send_s: float
    call_s: float
    compute_s: float
    repeats: float
    snapshots: bool
    rules: bool
    checkpoint_s: float
    commit_s: float
    heartbeat_s: float = 0.3
    session_s: float = 1.0
    rebalance_timeout_s: float = 8.0


def draw(random: Random) -> Settings:
    """The settings of a seed."""
    some = random.choice
    # These draw nothing from what the rest is drawn from.
    of_repeats, of_rules = (Random(random.getstate()[1][k]) for k in range(2))
    rules = of_rules.random() < 0.5
    topics = ("events",) if random.random() < 0.6 else ("events", "mails")
    on = [
        fault
        for fault in FAULTS
        if random.random() < 0.4
        and not (len(topics) > 1 and fault in ZOMBIES)
        and not (rules and fault in OVERLAPS)
    ]
    # A repetition whose first is gone when the table is rebuilt is decided if no contact came after it:
    # nobody knows whether that one was written before a kill.
    forgets = rules and {"layout", "retention"} <= set(on)
    return Settings(
        topics=topics,
        partitions=some((1, 1, 2, 2, 3)),
        customers=random.randint(3, 8),
        events=random.randint(40, 150),
        loaded_s=random.uniform(1.0, 6.0),
        workers=some((1, 1, 2, 2, 3)),
        faults=tuple(on or ["rebalance"]),
        fault_count=random.randint(3, 12),
        sticky=some((0.0, 0.5, 0.9, 1.0)),
        chunk_events_max=some((2, 5, 20, 4096)),
        fetch_batches_max=some((1, 3, 10, 10)),
        inline_events_max=some((0, 4, 256)),
        fetch_drops=some((0.0, 0.0, 0.05, 0.2)),
        fetch_repeats=some((0.0, 0.0, 0.05, 0.2)),
        send_s=some((0.001, 0.01, 0.05)),
        call_s=some((0.001, 0.01, 0.05)),
        compute_s=some((0.0, 0.001, 0.05)),
        repeats=0.0 if forgets else of_repeats.choice((0.0, 0.1, 0.4)),
        snapshots=random.random() < 0.2,
        rules=rules,
        checkpoint_s=some((0.1, 0.3, 1.0)),
        commit_s=some((0.1, 0.3, 1.0)),
    )
