"""Settings of topics that break a promise, each by itself."""

from __future__ import annotations

import pytest

from stream.campaign.file import parse
from stream.campaign.topic_promises import broken_promises, contact_memory_ms, memory_ms

SHOP = parse(
    'app = "shop"\ntopics = { events = ["orders", "mails"], decisions = "shop-decisions" }\n'
    'training = { attribution_window = "14d" }\nstrategies = [{ id = "mail" }]\n'
    'contacts = { time_zone = "UTC" }\n'
    'caps = [{ id = "c", contacts = 2, per = "month" }, { id = "w", contacts = 1, within = "7d" }]\n'
    'features = [{ op = "window_count", window = "30d" }, { op = "count", half_lives = ["90d"] }]'
)
DAYS_30_MS, DAYS_31_MS = 30 * 86_400_000, 31 * 86_400_000


def test_how_far_back_a_campaign_looks() -> None:
    assert memory_ms(SHOP) == DAYS_30_MS
    assert contact_memory_ms(SHOP) == DAYS_31_MS


@pytest.mark.parametrize(
    ("topic", "setting", "value", "said"),
    [
        ("orders", "cleanup.policy", "compact", "expected cleanup.policy=delete of an event topic"),
        ("mails", "retention.ms", str(DAYS_30_MS - 1), "expected retention.ms of 30 days or more"),
        ("shop-decisions", "retention.ms", str(DAYS_31_MS - 1), f"retention.ms={DAYS_31_MS}`"),
        ("shop-decisions", "cleanup.policy", "compact", "may be gone when the next one looks"),
        ("log", "cleanup.policy", "delete", "rows of customers who were quiet"),
        ("log", "cleanup.policy", "compact,delete", "expected cleanup.policy=compact of the changelog"),
        ("orders", "unclean.leader.election.enable", "true", "a broker that lacks the last records"),
        ("log", "unclean.leader.election.enable", "true", "--topic log --add-config"),
    ],
)  # fmt: skip
def test_one_wrong_setting_is_told_with_its_topic(
    topic: str, setting: str, value: str, said: str
) -> None:
    fine = {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "unclean.leader.election.enable": "false",
    }
    settings = {
        "shop-decisions": fine | {"retention.ms": str(DAYS_31_MS)},
        "orders": dict(fine), "mails": fine | {"retention.ms": str(DAYS_30_MS)},
        "log": fine | {"cleanup.policy": "compact", "retention.ms": "1000"},
    }  # fmt: skip
    assert broken_promises(SHOP, settings, "log") == []
    settings[topic] = settings[topic] | {setting: value}
    (broken,) = broken_promises(SHOP, settings, "log")
    assert broken.topic == topic
    assert said in broken.reason
    assert "Operator action: " in broken.reason


def test_what_the_broker_does_not_tell_breaks_nothing() -> None:
    assert broken_promises(SHOP, {}, "log") == []
    assert broken_promises(SHOP, {"orders": {}, "log": {}}, "log") == []
