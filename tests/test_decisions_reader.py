"""What the encoder writes in either form is read back; what is no decision is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stream.decisions_reader import epoch_ms, parse, parse_flat

DOCS = Path(__file__).parents[1] / "docs" / "decisions.md"


@pytest.fixture(scope="module")
def published() -> list[bytes]:
    """The two messages of the documentation, which are those of the encoder."""
    blocks = DOCS.read_text().split("```json\n")[1:]
    return [block.partition("```")[0].encode() for block in blocks[:2]]


def test_a_decision_is_read_in_its_own_form_alone(published: list[bytes]) -> None:
    event, flat = published
    decision, short = parse(event), parse_flat(flat)
    assert decision is not None
    assert short is not None
    assert (decision.customer, short.customer_id) == ('zoë "z"', 'zoë "z"')
    assert decision.event_id == short.event_id == "022bb90c-bbac"
    assert decision.data.action.strategy == short.strategy == "winback"
    assert decision.data.score == short.score == 0.081
    assert decision.data.event.offset == 4711
    assert epoch_ms(decision.data.event.time) == 1_795_507_199_007
    assert (parse(flat), parse_flat(event), parse(b""), parse(b"\xff")) == (None,) * 4


@pytest.mark.parametrize("changes", [{"offset": -1}, {"time": "2026-11-24T07:59:59"}, {"topic": 1}])
def test_a_decision_that_does_not_tell_its_event_is_none(
    published: list[bytes], changes: dict[str, object]
) -> None:
    message = json.loads(published[0])
    message["data"]["event"] |= changes
    assert parse(json.dumps(message).encode()) is None
