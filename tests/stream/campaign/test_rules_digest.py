"""The digest of the rules changes with what decides, and with nothing else."""

from __future__ import annotations

import pytest

from stream.campaign.file import parse
from stream.campaign.rules_digest import rules_digest

TEXT = """
app = "shop"
topics = { events = ["orders"] }
features = [{ op = "count", half_lives = ["9d"] }]
strategies = [{ id = "mail", value = 2 }]
"""


@pytest.mark.parametrize(
    ("more", "decides"),
    [
        ('bootstrap = "else:9092"', False),
        ("worker = { commit_interval_ms = 2000 }", False),
        ('model = { registry = "elsewhere" }', False),
        ("training = { epochs = 3 }", False),
        ('policy = { version = "2" }', True),
        ('caps = [{ id = "c", contacts = 1, within = "1d" }]', True),
        ('exploration = { method = "epsilon", epsilon = 0.2 }', True),
        ('holdouts = [{ id = "h", share = 0.1 }]', True),
        ('decisions = { expires_after = "2h" }', True),
    ],
)
def test_what_decides_changes_it(more: str, decides: bool) -> None:
    assert (rules_digest(parse(TEXT + more)) != rules_digest(parse(TEXT))) is decides


def test_it_stays_what_it_was() -> None:
    """Written down, so that nobody changes by accident what published decisions carry."""
    assert len(rules_digest(parse(TEXT))) == 12
    assert rules_digest(parse(TEXT)) == rules_digest(parse(TEXT + "# a word\n"))
