"""Every kind of mistake in a campaign file is refused with its path, its value and what was expected."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from stream.campaign.explain import explain
from stream.campaign.file import Campaign, load, parse
from stream.campaign.words import duration_ms
from stream.errors import CampaignError

GOOD = """
app = "shop"
[topics]
events = ["customer-events"]
[[features]]
op = "count"
half_lives = ["1d"]
[[strategies]]
id = "mail"
"""


def test_what_is_not_said_has_a_default() -> None:
    campaign = parse(GOOD)
    assert campaign.topics.decisions == "decisions"
    assert campaign.events.customer_id == ("userId", "anonymousId")
    assert campaign.worker.chunk_events_max == 4096


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("app =", "ap ="), ["at the top level", "unknown field `ap`"]),
        (('app = "shop"', ""), ["at the top level", "missing required field `app`"]),
        (('"shop"', '"my shop"'), ["at app", "a name of letters", '"my shop"']),
        (('["customer-events"]', "[]"), ["at topics.events", "length >= 1", "got []"]),
        (('"count"', '"counts"'), ["at features[0].op", "one of count", "sum", 'got "counts"']),
        (('"1d"', '"1 day"'), ["at features[0].half_lives[0]", "a duration", '"1 day"']),
        (('id = "mail"', 'id = "mail"\ncost = -1'), ["at strategies[0].cost", ">= 0", "got -1"]),
        (('id = "mail"', 'id = "mail"\nvalue = "x"'), ["at strategies[0].value", "float", '"x"']),
        (("[topics]", "[topics]\nparts = 3"), ["at topics", "unknown field `parts`"]),
        (("[topics]", "[worker]\nchunk_events_max = 0\n[topics]"),
         ["at worker.chunk_events_max", ">= 1", "got 0"]),
        (("[topics]", "[topics"), ["expected TOML", "line 3"]),
        (("customer-events", "my events"), ["at topics.events[0]", "a Kafka topic", '"my events"']),
        (("customer-events", ".."), ["at topics.events[0]", "a Kafka topic", '".."']),
        (('id = "mail"', 'id = "nothing"'), ["at strategies[0].id", "always there", '"nothing"']),
        (('id = "mail"', 'id = "mail"\n[[strategies]]\nid = "mail"'),
         ["at strategies[1].id", "each id once", 'got "mail" again']),
        (('id = "mail"', 'id = "mail"\nvalue = inf'), ["at strategies[0].value", "<= 10", "got inf"]),
        (('id = "mail"', 'id = "mail"\nvalue = nan'), ["at strategies[0].value", "got nan"]),
        (('id = "mail"', 'id = "mail"\nvalue = -2e9'), ["at strategies[0].value", ">= -10"]),
        (('id = "mail"', 'id = "mail"\ncost = inf'), ["at strategies[0].cost", "got inf"]),
        (('id = "mail"', 'id = "mail"\nproperties = {a = [1]}'),
         ["at strategies[0].properties, one of its entries: ", "got `array`", '{"a":[1]}']),
        (('"1d"', '"1d\\n"'), ["at features[0].half_lives[0]", "a duration"]),
        (('"mail"', '"mail\\n"'), ["at strategies[0].id", "a name of letters"]),
    ],
)  # fmt: skip
def test_a_mistake_is_refused(change: tuple[str, str], says: list[str]) -> None:
    with pytest.raises(CampaignError) as caught:
        parse(GOOD.replace(*change), where="shop.toml")
    message = str(caught.value)
    assert message.startswith("shop.toml: ")
    for part in says:
        assert part in message, message


@pytest.mark.parametrize(
    ("topics", "says"),
    [
        ('["a"]\ndecisions = "a"', 'topic of its own, got "a", as at topics.events[0]'),
        ('["a"]\ndead_letter = "a"', 'at topics.dead_letter: expected a topic of its own, got "a"'),
        ('["b"]\ndecisions = "a"\ndead_letter = "a"', "as at topics.decisions"),
        ('["b", "a", "b"]', "at topics.events[2]: expected a topic of its own"),
        ('["decisions"]', "at topics.decisions: expected a topic of its own"),
        ('["shop-customers-0123456789ab-changelog"]', "another topic than the changelog"),
        ('["shop-control"]', "another topic than those of the app"),
        ('["a"]\ndecisions = "shop-budgets"', "at topics.decisions: expected another topic than"),
    ],
)  # fmt: skip
def test_no_topic_has_two_purposes(topics: str, says: str) -> None:
    with pytest.raises(CampaignError, match=re.escape(says)):
        parse(GOOD.replace('["customer-events"]', topics))


def test_names_that_kafka_allows() -> None:
    names = ["_internal.events", "-a", "...", "x" * 249]
    assert parse(GOOD.replace('["customer-events"]', str(names))).topics.events == tuple(names)


@pytest.mark.parametrize(
    "address",
    ["kafka:9092", "localhost:1,my_kafka.internal:65535", "127.0.0.1:9092", "[::1]:9092,b:80"],
)
def test_addresses_of_brokers(address: str) -> None:
    assert parse(f'bootstrap = "{address}"\n{GOOD}').bootstrap == address


@pytest.mark.parametrize(
    "address",
    ["", "kafka", "kafka:", "kafka:abc", "kafka:0", "kafka:65536", "kafka:9092,", "a:1, b:2",
     "kafka://kafka:9092", "::1:9092", "kafka:9092\\n"],
)  # fmt: skip
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(CampaignError, match="at bootstrap: expected a Kafka address host:port"):
        parse(f'bootstrap = "{address}"\n{GOOD}')


@pytest.mark.parametrize("wrong", [[1], {"a": [1]}, float("nan"), "x\n", [[[]]], date(2026, 1, 1)])
def test_no_value_anywhere_makes_the_explanation_fail(wrong: object) -> None:
    def mutants(node: object) -> Iterator[object]:
        """The value with `wrong` in place of one part of it."""
        yield wrong
        if isinstance(node, dict):
            yield from ({**node, key: m} for key, part in node.items() for m in mutants(part))
        if isinstance(node, list):
            for i, part in enumerate(node):
                yield from ([*node[:i], m, *node[i + 1 :]] for m in mutants(part))

    whole = msgspec.to_builtins(parse(GOOD + "properties = {a = 1}"))
    whole["search"]["layers"] = [1, 2]
    told = []
    for raw in mutants(whole):
        try:
            msgspec.convert(raw, Campaign)
        except msgspec.ValidationError as exc:
            told.append(explain(Campaign, cast(Any, raw), str(exc)))
    assert len(told) > 90
    assert all(": " in text for text in told)


@pytest.mark.parametrize(
    ("anew", "error"),
    [
        ('{ topic = "other", epoch = 1 }', r"anew\[0\].topic: expected one of topics.events"),
        ('{ topic = "events", epoch = 1 }, { topic = "events", epoch = 2 }', "each topic once"),
        ('{ topic = "events", epoch = 0 }', "epoch"),
        ('{ topic = "events", epoch = 1, id = "a b" }', "a topic id"),
    ],
)
def test_an_acceptance_that_is_wrong_is_refused(anew: str, error: str) -> None:
    with pytest.raises(CampaignError, match=error):
        parse(
            'app = "t"\ntopics = { events = ["events"], anew = [' + anew + "] }\n"
            'features = [{ op = "count", events = ["A"], half_lives = ["1d"] }]\n'
            'strategies = [{ id = "mail" }]\nmodel = { head = "choice", network = "linear" }\n'
            "policy = { do_nothing = false }\n"
        )


@pytest.mark.parametrize(
    ("events", "error"),
    [
        ('format = "avro"', "at events.schema_registry: expected the address of the registry"),
        ('format = "protobuf"', "at events.schema_registry: expected the address"),
        ('format = "xml"', "events.format"),
        (
            'schema_registry = "http://r"',
            'expected none with events.format = "json", got "http://r"',
        ),
        ('format = "avro"\nschema_registry = "ftp://r"', "an address such as http://host:8081"),
        ('format = "avro"\nschema_registry = "http://me:pw@r"', "without user and password"),
    ],
)
def test_a_format_that_contradicts_itself_is_refused(events: str, error: str) -> None:
    text = GOOD + "[events]\n%s\n"
    parse(text % 'format = "avro"\nschema_registry = "https://registry.shop:8081/path"')
    with pytest.raises(CampaignError, match=error):
        parse(text % events)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="expected a campaign file, No such file"):
        load(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'app = "caf\xe9"')
    with pytest.raises(CampaignError, match="expected UTF-8, got byte 0xe9"):
        load(tmp_path / "latin.toml")


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[3].glob("*/**/opportune.toml")), ids=str
)
def test_the_campaigns_of_the_project_are_valid(path: Path) -> None:
    assert isinstance(load(path), Campaign)


def test_durations() -> None:
    assert [duration_ms(text) for text in ("500ms", "2s", "3m", "1h", "7d", "2w")] == [
        500, 2_000, 180_000, 3_600_000, 604_800_000, 1_209_600_000,
    ]  # fmt: skip


def test_a_single_offset_may_be_skipped_and_a_range_may_not_end_before_it_begins() -> None:
    def with_skip(last: int) -> str:
        entry = f"{{ topic = 'customer-events', partition = 0, from = 7, to = {last} }}"
        return GOOD.replace("[topics]", f"[topics]\nskip = [{entry}]")

    (skip,) = parse(with_skip(7)).topics.skip
    assert (skip.first, skip.last) == (7, 7)
    with pytest.raises(CampaignError, match=r"at topics.skip\[0\].to: .* from 7 on.*got 6"):
        parse(with_skip(6))
