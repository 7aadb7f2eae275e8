"""Which answers of a broker about the topics end a worker, and what the operator is told."""

from __future__ import annotations

import pytest

from stream.campaign.topics_section import Topics
from stream.errors import KafkaLayoutError
from stream.kafka.topic_ids import Topic
from stream.worker.operate.topic_watch import TopicWatch

TOPICS = Topics(events=("mails", "orders"), decisions="out", dead_letter="dead")
NAMES = ("mails", "orders", "out", "dead", "log")
AS_EVER = {name: Topic(4, f"id-{name}") for name in NAMES}


@pytest.fixture
def watch() -> TopicWatch:
    made = TopicWatch(TOPICS, "log", 4)
    assert set(made.names) == set(NAMES)
    return made


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("mails", "create it with the producers' partition count, or correct topics.events"),
        ("out", "stop all workers and start them again: the topic is created"),
        ("dead", "stop all workers and start them again: the topic is created"),
        ("log", "stop all workers and start them again: the table is rebuilt"),
    ],
)
def test_a_topic_is_gone_when_it_is_said_twice(watch: TopicWatch, name: str, action: str) -> None:
    watch.look(AS_EVER, begun=True)
    watch.look({**AS_EVER, name: None}, begun=True)
    with pytest.raises(KafkaLayoutError, match=f"'{name}' was deleted while") as refused:
        watch.look({**AS_EVER, name: None}, begun=True)
    assert f"Operator action: {action}" in str(refused.value)


def test_a_broker_that_starts_says_this_and_that(watch: TopicWatch) -> None:
    for _ in range(3):
        watch.look({**AS_EVER, "out": None}, begun=True)
        watch.look({name: topic for name, topic in AS_EVER.items() if name != "out"}, begun=True)
        watch.look({**AS_EVER, "log": None, "dead": None}, begun=True)
        watch.look(AS_EVER, begun=True)
        watch.look({}, begun=True)


def test_the_changelog_is_not_missing_before_partitions_have_begun(watch: TopicWatch) -> None:
    for _ in range(3):
        watch.look({**AS_EVER, "log": None}, begun=False)
    watch.look({**AS_EVER, "log": None}, begun=True)
    with pytest.raises(KafkaLayoutError, match="'log' was deleted"):
        watch.look({**AS_EVER, "log": None}, begun=True)


def test_another_id_is_another_topic(watch: TopicWatch) -> None:
    watch.look({**AS_EVER, "out": Topic(4, None)}, begun=True)  # an old broker has none
    watch.look(AS_EVER, begun=True)
    with pytest.raises(KafkaLayoutError, match="'out' was deleted and created again while"):
        watch.look({**AS_EVER, "out": Topic(4, "id-2")}, begun=True)
    with pytest.raises(KafkaLayoutError, match=r"'mails' was deleted and created again.*accepted"):
        watch.look({**AS_EVER, "mails": Topic(4, "id-2")}, begun=True)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["mails"], "expected one partition count for all event topics"),
        (
            ["mails", "orders"],
            "6 partitions of the changelog 'log', as the event topics have, got 4",
        ),
        (["out"], "name another topic in topics.decisions"),
        (NAMES, "expected 4 partitions of every topic, as at the start, got"),
    ],
)
def test_more_partitions_are_refused_at_once(
    watch: TopicWatch, names: list[str], said: str
) -> None:
    watch.look(AS_EVER, begun=True)
    with pytest.raises(KafkaLayoutError) as refused:
        watch.look(AS_EVER | {name: Topic(6, f"id-{name}") for name in names}, begun=True)
    assert said in str(refused.value)
    assert "Operator action: " in str(refused.value)
