"""`opportune check --explain`: what it says of a feature is what the kernel, the row and the model have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from models import network
from models.contract import FeatureContract, Normalization
from models.manifest import NetworkConfig
from models.registry import Registry
from stream.campaign.file import parse
from stream.campaign.operator_table import OPERATORS
from stream.cli import main
from stream.columns import EventBatch, Spans
from stream.features.plan import FeaturePlan, apply_raw, compile_features
from stream.worker.commands.explained import features_of, without_an_event
from tests.bundles import bundle_of

CAMPAIGN = """
app = "shop"
[topics]
events = ["a", "b"]
[[features]]
op = "window_count"
events = ["Order Completed"]
window = "30d"
[[features]]
op = "count"
events = ["Order Completed", "Mail Opened"]
half_lives = ["1h", "7d"]
[[features]]
op = "last"
property = "traits.points"
[[features]]
op = "share"
property = "properties.category"
half_lives = ["30d"]
buckets = 3
[[features]]
op = "distinct"
property = "properties.sku"
[[features]]
op = "recency"
events = ["Order Completed"]
cap = "2d"
[[features]]
op = "tenure"
[[strategies]]
id = "mail"
eligible = ["tenure > 5", "order_completed_count_30d >= 1"]
[[strategies]]
id = "push"
eligible = ["order_completed_count_30d < 3"]
[evaluation]
rfm = ["order_completed_recency", "order_completed_count_30d", "order_completed_count_7d"]
[[evaluation.slices]]
name = "loyal"
conditions = ["tenure >= 100"]
"""
SAID = {
    "events": '["Never"]', "property": '"p.v"', "half_lives": '["7d"]', "window": '"7d"', "tile": '"1d"',
    "cap": '"3d"', "buckets": "2", "time_zone": '"Asia/Tokyo"',
}  # fmt: skip
"""Each field of an entry, as one that uses it may say it."""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    file = tmp_path / "shop.toml"
    file.write_text(CAMPAIGN)
    return file


def explain(file: Path, wanted: str, *more: str) -> Result:
    arguments = ["check", str(file), "--explain", wanted, *more]
    return CliRunner().invoke(main, arguments, env={"COLUMNS": "200"})


def explained(file: Path, wanted: str, *more: str) -> list[tuple[str, str]]:
    """Label and text of each line about one feature."""
    result = explain(file, wanted, *more)
    assert result.exit_code == 0, result.output
    name, *lines = result.output.strip().splitlines()
    assert name == wanted
    return [tuple(line.strip().split("  ", 1)) for line in lines]  # type: ignore[misc]


def words_of(lines: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(label, text.strip()) for label, text in lines]


def test_a_feature_says_all_that_the_campaign_file_says_of_it(shop: Path) -> None:
    assert words_of(explained(shop, "order_completed_count_30d")) == [
        ("operator", "window_count, features[0] of the campaign file"),
        ("vector", "0 of 0 to 12"),
        ("events", "Order Completed"),
        ("measure", "window 30d: 31 tiles of 1d, one of them begun"),
        ("transform", "log1p"),
        ("row", "words 12 to 42 of 0 to 63, 8 bytes each"),
        ("without an event", "0"),
        ("asked for by", 'mail: "order_completed_count_30d >= 1", strategies[0].eligible'),
        ("asked for by", 'push: "order_completed_count_30d < 3", strategies[1].eligible'),
        ("asked for by", "evaluation.rfm"),
    ]


@pytest.mark.parametrize(
    ("name", "feature", "lines"),
    [
        ("v_last", 'op = "last", property = "p.items[].v"',
         [("property", "p.items[].v, a number: the sum over the list")]),
        ("items_last", 'op = "last", property = "p.items[]"', [("property", "p.items[], how many elements")]),
        ("items_distinct", 'op = "distinct", property = "p.items[]"',
         [("property", "p.items[], a category for each element of the list")]),
        ("time_of_day_sin", 'op = "time_of_day"', [("measure", "time zone UTC")]),
        ("time_of_day_cos", 'op = "time_of_day", time_zone = "Asia/Tokyo", property = "z"',
         [("property", "z, the IANA name of the customer's time zone"),
          ("measure", "time zone Asia/Tokyo when an event names none")]),
    ],
)  # fmt: skip
def test_lists_and_zones_are_said(
    tmp_path: Path, name: str, feature: str, lines: list[tuple[str, str]]
) -> None:
    file = tmp_path / "opportune.toml"
    text = 'app = "t"\ntopics = { events = ["e"] }\nstrategies = [{ id = "m" }]\n'
    file.write_text(f"{text}features = [{{ {feature} }}]\n")
    found = words_of(explained(file, name))
    assert [line for line in lines if line not in found] == []


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("mail_opened_count_7d", ("measure", "half-life 7d")),
        ("mail_opened_count_7d", ("operator", "count, features[1] of the campaign file")),
        ("points_last", ("property", "traits.points, a number")),
        ("points_last", ("transform", "signlog")),
        ("points_last_missing", ("transform", "none")),
        ("points_last_missing", ("without an event", "1")),
        ("category_share_2", ("property", "properties.category, a category")),
        ("category_share_2", ("measure", "bucket 2 of 0 to 2")),
        ("category_share_2", ("events", "all")),
        ("sku_distinct", ("measure", "no window: all that was ever seen")),
        ("order_completed_recency", ("without an event", "172800 s")),
        ("tenure", ("asked for by", 'loyal: "tenure >= 100", evaluation.slices[0].conditions')),
        ("tenure", ("row", "no words of its own: it reads the clock and the oldest event")),
    ],
)
def test_what_an_operator_has_of_its_own_is_said(
    shop: Path, name: str, line: tuple[str, str]
) -> None:
    assert line in words_of(explained(shop, name))


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("points", ["points_last", "points_last_missing"]),
        ("*_7d", ["order_completed_count_7d", "mail_opened_count_7d"]),
        ("category_share_[01]", ["category_share_0", "category_share_1"]),
        ("points_last", ["points_last"]),
    ],
)
def test_a_beginning_or_a_pattern_names_several(shop: Path, wanted: str, names: list[str]) -> None:
    lines = explain(shop, wanted).output.splitlines()
    assert [line for line in lines if line and not line.startswith(" ")] == names


@pytest.mark.parametrize("wanted", ["order_count_30d", "*_9d", ""])
def test_an_unknown_feature_ends_with_2_and_the_closest(shop: Path, wanted: str) -> None:
    result = explain(shop, wanted)
    assert result.exit_code == 2
    assert f'got "{wanted}"; the closest are ' in result.output
    assert "order_completed_count" in result.output


def test_the_words_of_all_features_are_those_of_the_row(shop: Path) -> None:
    campaign = parse(CAMPAIGN)
    plan = compile_features(campaign)
    features = features_of(campaign, plan)
    assert [feature.name for feature in features] == list(plan.names)
    assert [feature.column for feature in features] == list(range(len(plan.names)))
    owned = {feature.word: feature.operator.words for feature in features if feature.operator.words}
    taken = sorted(word + k for word, count in owned.items() for k in range(count))
    assert taken == list(range(plan.layout.decays_start[0], plan.layout.ring))


@pytest.mark.parametrize("op", OPERATORS)
def test_what_is_said_of_a_customer_without_an_event_is_what_the_kernel_computes(op: str) -> None:
    uses = OPERATORS[op].needs | OPERATORS[op].may
    fields = "\n".join(f"{field} = {SAID[field]}" for field in uses)
    campaign = parse(f"""
app = "shop"
[topics]
events = ["a"]
[[features]]
op = "{op}"
{fields}
[[strategies]]
id = "mail"
""")
    plan = compile_features(campaign)
    values = after_another_event(plan)
    for feature in features_of(campaign, plan):
        said = without_an_event(feature)
        if "events" in uses:
            assert said is not None
            np.testing.assert_equal(values[feature.column], said)
        else:
            assert said is None


def after_another_event(plan: FeaturePlan) -> Any:
    """Features of a customer after one event of a type that nobody names."""
    batch = EventBatch(
        record=np.zeros(1, np.int64),
        offset=np.array([7]),
        received_ms=np.array([1_700_000_000_000]),
        time_ms=np.array([1_700_000_000_000]),
        customer=Spans.of([b"c"]),
        event_id=Spans.of([None]),
        event_hash=np.zeros(1, np.uint64),
        type_code=np.array([-1], np.int16),
        number=np.full((len(plan.number_paths), 1), np.nan),
        category=np.zeros((plan.category_rows, 1), np.uint64),
        consent=np.empty((0, 1), np.int8),
        consent_only=np.zeros(1, np.bool_),
    )
    values = np.empty((1, len(plan.names)))
    apply_raw(plan, np.zeros((1, plan.row_words)), np.zeros(1, np.int64), batch, 0, values)
    return values[0]


def promoted(registry: Registry, contract: FeatureContract) -> str:
    width = len(contract.names)
    config = NetworkConfig(network="linear", head="response", inputs=width, outputs=3, hidden=())
    bundle = bundle_of(
        network.build(config, 1), config, contract, ("mail", "push", "nothing"),
        np.zeros((2, width), np.float32),
        normalization=Normalization(np.arange(width) / 4, np.full(width, 0.5), 8.0),
    )  # fmt: skip
    version = registry.publish(bundle)
    registry.promote(version)
    return version


def test_the_champion_says_how_a_feature_is_normalized(shop: Path, registry: Registry) -> None:
    assert ("normalization", f"no champion in {registry.url}") in words_of(
        explained(shop, "points_last", "--registry", registry.url)
    )
    contract = compile_features(parse(CAMPAIGN)).contract
    version = promoted(registry, contract)
    at = contract.names.index("points_last")
    assert words_of(explained(shop, "points_last", "--registry", registry.url))[-2:] == [
        ("champion", version),
        ("normalization", f"mean {at / 4:g}, std 0.5, clipped at 8"),
    ]


def test_a_champion_of_other_features_is_told(shop: Path, registry: Registry) -> None:
    version = promoted(registry, FeatureContract(("x", "points_last"), "[]"))
    other = ("champion", f"{version} is for other features: workers refuse it")
    lines = words_of(explained(shop, "points_last", "--registry", registry.url))
    assert lines[-2:] == [other, ("normalization", "mean 0.25, std 0.5, clipped at 8")]
    lines = words_of(explained(shop, "tenure", "--registry", registry.url))
    unknown = "none: the champion does not know this feature"
    assert lines[-2:] == [other, ("normalization", unknown)]


def test_a_registry_that_cannot_be_read_ends_with_2(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "champion").write_text("nonsense\n")
    result = explain(shop, "tenure", "--registry", str(tmp_path / "r"))
    assert result.exit_code == 2
    assert "--registry: expected a registry that can be read: " in result.output
