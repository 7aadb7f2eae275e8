"""A wrong clock is told as one, with the times."""

from __future__ import annotations

import pytest

from stream.worker.operate.clock import refused_by_broker, times_ahead

SAID = (
    "Timestamp 1764000000000 of message with offset 0 is out of range. The timestamp should be "
    "within [{}, 1763740800000]"
)


def test_the_times_of_both_clocks_are_told() -> None:
    told = str(refused_by_broker("out", SAID.format(1763700000000), 1764000000005))
    assert "from 2025-11-21T04:40:00.000+00:00 to 2025-11-21T16:00:00.000+00:00" in told
    assert "broker's clock on 'out', got 2025-11-24T16:00:00.000+00:00 on a record" in told
    assert "this machine's clock says 2025-11-24T16:00:00.005+00:00" in told
    assert "Operator action: set the clock" in told


@pytest.mark.parametrize("said", [None, "The timestamp of the message is out of range."])
def test_a_broker_that_says_no_times(said: str | None) -> None:
    told = str(refused_by_broker("out", said, 1764000000005))
    assert "expected times that 'out' takes, around the broker's clock, got 2025-11-24T16" in told


def test_a_range_without_a_beginning() -> None:
    assert "from any time to 2025-11-21" in str(
        refused_by_broker("out", SAID.format(-(1 << 63)), 0)
    )


@pytest.mark.parametrize(
    ("ahead", "others", "warns"),
    [(0, 0, False), (0, 9, False), (9, 91, False), (10, 90, True), (5, 0, True)],
)
def test_many_times_ahead_are_a_clock(ahead: int, others: int, warns: bool) -> None:
    reason = times_ahead(ahead, ahead + others)
    assert (reason is not None) is warns
    if reason:
        assert reason.startswith(f"{ahead} of {ahead + others} events")
