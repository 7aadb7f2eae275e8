"""What a campaign file's features compile to, and how wrong ones are refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from stream.campaign.file import EventMapping
from stream.campaign.operator_table import OPERATORS
from stream.columns import RecordChunk, Spans
from stream.errors import CampaignError
from stream.events.decoder import EventDecoder
from stream.events.paths import compile_trie
from tests.stream.features.expansion_harness import COUNT, compiled, entry

DOCS = Path(__file__).resolve().parents[3] / "docs" / "features.md"


@pytest.mark.parametrize(
    ("op", "fields", "names"),
    [
        ("count", 'half_lives = ["1h"]', "any_count_1h"),
        (
            "count",
            'events = ["Order Completed", "*"]\nhalf_lives = ["1h", "7d"]',
            "order_completed_count_1h order_completed_count_7d any_count_1h any_count_7d",
        ),
        ("count", 'events = ["a", "b"]\nname = "seen"\nhalf_lives = ["1h"]', "seen"),
        ("count", 'name = "seen"\nhalf_lives = ["1h", "2h"]', "seen_1h seen_2h"),
        ("sum", 'events = ["buy"]\nproperty = "p.v"\nhalf_lives = ["1h"]', "buy_sum_1h"),
        ("recency", 'events = ["buy", "E-mail  Opened!"]', "buy_recency e_mail_opened_recency"),
        ("recency", 'events = ["buy", "view"]\nname = "seen"', "seen"),
        ("tenure", "", "tenure"),
        ("window_count", 'events = ["buy"]\nwindow = "30d"', "buy_count_30d"),
        ("window_sum", 'events = ["*"]\nproperty = "v"\nwindow = "6h"\ntile = "1h"', "any_sum_6h"),
        ("window_count", 'name = "bought"\nwindow = "30d"', "bought"),
        (
            "last",
            'property = "traits.Loyalty Points"',
            "loyalty_points_last loyalty_points_last_missing",
        ),
        ("last", 'events = ["a", "b"]\nproperty = "v"', "v_last v_last_missing"),
        (
            "last",
            'property = "p.pixel_{9..10}"',
            "pixel_9_last pixel_9_last_missing pixel_10_last pixel_10_last_missing",
        ),
        ("last", 'property = "p{1..1}.v"\nname = "v"', "v_1 v_1_missing"),
        (
            "sum",
            'events = ["a", "b"]\nproperty = "x_{1..2}"\nhalf_lives = ["1h", "1d"]',
            (
                "a_x_1_sum_1h a_x_1_sum_1d b_x_1_sum_1h b_x_1_sum_1d "
                "a_x_2_sum_1h a_x_2_sum_1d b_x_2_sum_1h b_x_2_sum_1d"
            ),
        ),
        (
            "sum",
            'property = "x.{08..10}"\nname = "x"\nhalf_lives = ["1h"]',
            "x_08 x_09 x_10",
        ),
        (
            "window_sum",
            'events = ["a"]\nproperty = "x_{0..1}"\nwindow = "2d"',
            "a_x_0_sum_2d a_x_1_sum_2d",
        ),
        (
            "share",
            'property = "p.category"\nhalf_lives = ["7d"]\nbuckets = 2',
            "category_share_0 category_share_1",
        ),
        (
            "share",
            'property = "p.category"\nhalf_lives = ["1d", "7d"]\nbuckets = 2\nname = "cat"',
            "cat_1d_0 cat_1d_1 cat_7d_0 cat_7d_1",
        ),
        ("distinct", 'property = "p.sku"', "sku_distinct"),
        ("distinct", 'property = "p.sku"\nwindow = "7d"', "sku_distinct_7d"),
        ("time_of_day", "", "time_of_day_sin time_of_day_cos"),
        ("day_of_week", 'name = "day"', "day_sin day_cos"),
        ("count", 'events = ["注文完了"]\nhalf_lives = ["1h"]', "注文完了_count_1h"),
    ],
)
def test_names(op: str, fields: str, names: str) -> None:
    assert " ".join(compiled(entry(op, fields)).names) == names


@pytest.mark.parametrize(
    ("op", "fields", "message"),
    [
        ("count", "", 'features[0].half_lives: expected at least one half-life such as "7d"'),
        ("sum", 'half_lives = ["1h"]', "features[0].property: expected a path such as"),
        ("window_count", "", 'features[0].window: expected a length such as "30d"'),
        ("count", 'half_lives=["1h"]\nproperty="v"', 'property: expected nothing, count does not use it, got "v"'),
        ("recency", 'window = "1d"', 'window: expected nothing, recency does not use it, got "1d"'),
        ("tenure", 'events = ["buy"]', 'events: expected nothing, tenure does not use it, got ["buy"]'),
        ("time_of_day", 'half_lives = ["1h"]', "half_lives: expected nothing, time_of_day does not"),
        ("last", 'property = "v"\ncap = "1d"', "cap: expected nothing, last does not use it"),
        ("count", 'half_lives = ["1h"]\nbuckets = 4', "buckets: expected nothing, count does not"),
        ("window_count", 'window = "36h"', 'window: expected 1 to 400 whole tiles of "1d", got "36h"'),
        ("window_count", 'window = "401d"', 'window: expected 1 to 400 whole tiles of "1d", got "401d"'),
        ("window_count", 'window = "1h"', 'window: expected 1 to 400 whole tiles of "1d", got "1h"'),
        ("distinct", 'property = "v"\ntile = "1h"', 'tile: expected nothing without a window, got "1h"'),
        ("count", 'events = ["a", "!"]\nhalf_lives = ["1h"]', "events[1]: expected a letter or digit"),
        ("last", 'property = "a.!"', "features[0].property: expected a letter or digit"),
        *(
            ("last", f'property = "v_{{{wrong}}}"', "features[0].property: expected a range of at most 4096")
            for wrong in ("3..2", "0..4096", "a..z", "0..9..3", "-1..3", "..3", "0..9999999999")
        ),
        ("distinct", 'property = "v_{0..3}"', 'among last, sum, window_sum, got "v_{0..3}" of distinct'),
        ("sum", 'property = "a_{0..1}.!"\nhalf_lives=["1h"]', "property: expected a letter or digit"),
        ("last", 'property = "a{0..1}.v"', 'expected each feature name once, got "v_last", which features[0]'),
        ("count", 'half_lives = ["1h", "1h"]', 'expected each feature name once, got "any_count_1h", which features[0]'),
    ],
)  # fmt: skip
def test_an_entry_that_contradicts_its_operator_is_refused(
    op: str, fields: str, message: str
) -> None:
    with pytest.raises(CampaignError, match=re.escape(message)):
        compiled(entry(op, fields))


def test_two_entries_with_one_name_are_refused() -> None:
    window = entry("window_count", 'events = ["purchase"]\nwindow = "30d"')
    with pytest.raises(
        CampaignError,
        match=r'at features\[1\]: .* "purchase_count_30d", which features\[0\] gives too; set `name`',
    ):
        compiled(COUNT + window)
    assert compiled(COUNT + window + 'name = "bought"').names == ("purchase_count_30d", "bought")


def test_a_row_that_grows_too_large_is_refused() -> None:
    many = "".join(
        entry("window_count", f'name = "w{i}"\nwindow = "400d"') for i in range(11)
    )  # fmt: skip
    with pytest.raises(
        CampaignError,
        match=r'at features: expected at most 4096 words .* got 4433; "w0" alone takes 401',
    ):
        compiled(many)


def test_default_transforms_and_their_override() -> None:
    features = (
        COUNT
        + entry("sum", 'events = ["buy"]\nproperty = "v"\nhalf_lives = ["1h"]')
        + entry("window_sum", 'events = ["buy"]\nproperty = "v"\nwindow = "30d"')
        + entry("last", 'property = "v"')
        + entry("share", 'property = "c"\nhalf_lives = ["1d"]\nbuckets = 2')
        + entry("tenure", 'transform = "none"')
        + entry("distinct", 'property = "c"')
    )
    assert compiled(features).transforms == (
        "log1p", "signlog", "signlog", "signlog", "none", "none", "none", "none", "log1p",
    )  # fmt: skip


def test_only_what_is_needed_is_decoded() -> None:
    plan = compiled(
        COUNT
        + entry("sum", 'events = ["*", "buy"]\nproperty = "a.v"\nhalf_lives = ["1h"]')
        + entry("last", 'property = "a.v"')
        + entry("share", 'property = "a.c"\nhalf_lives = ["1h"]'),
        rest='decisions.on = ["cart"]\ntraining = {treatment = "sent", outcome = "buy"}',
    )
    assert plan.event_types == ("purchase", "buy", "cart", "sent")
    assert plan.number_paths == ("a.v",)
    assert plan.category_paths == ("a.c",)
    assert plan.decides.tolist() == [False, False, True, False, False]
    assert compiled(COUNT).decides.all()


def test_a_range_of_properties_is_one_path_for_each_number() -> None:
    plan = compiled(entry("last", 'property = "image.pixel_{0..783}"') + COUNT)
    assert plan.number_paths == tuple(f"image.pixel_{k}" for k in range(784))
    assert len(plan.names) == 2 * 784 + 1
    assert plan.layout.ring == plan.offset_words.stop + 1 + 2 * 784 + 1
    assert compiled(entry("last", 'property = "a{b}.{c..d"')).number_paths == ("a{b}.{c..d",)


def test_a_long_range_of_properties_is_read_from_one_event() -> None:
    plan = compiled(entry("sum", 'property = "image.pixel_{0..783}"\nhalf_lives = ["1d"]'))
    decoder = EventDecoder(EventMapping(), plan.event_types, plan.number_paths, ())
    pixels = {f"pixel_{k}": k / 7 for k in range(784)}
    value = json.dumps({"event": "seen", "userId": "ann", "timestamp": 1.7e9, "image": pixels})
    one = Spans.of([value.encode()])
    zero = np.zeros(1, np.int64)
    came_in = np.full(1, 1 << 41)
    decoded = decoder.decode(RecordChunk("one", 0, zero, came_in, one, one, 1), 1 << 41)
    batch, rejects = decoded.batch, decoded.rejects
    assert not rejects
    assert batch.number[:, 0].tolist() == list(pixels.values())


@pytest.mark.parametrize("keys", ["pixel_%d", "p%d_norm", "%04d"])
def test_keys_that_differ_in_a_number_are_found_at_once(keys: str) -> None:
    """An event of 784 numbers took 2 ms as long as their keys had 30 slots between them."""
    trie, _ = compile_trie(f"image.{keys % k}" for k in range(784))
    _, lengths = np.unique(np.cumsum(trie.slots < 0)[trie.slots >= 0], return_counts=True)
    assert lengths.max() < 200


def test_every_example_of_the_documentation_gives_the_features_it_names() -> None:
    examples = re.findall(r"```toml\n(.*?)```\n+Gives ([^\n]+)\n", DOCS.read_text(), re.DOTALL)
    shown = set()
    for example, gives in examples:
        plan = compiled(example)
        assert re.findall(r"`([^`]+)`", gives) == list(plan.names), example
        shown |= {operator.op for operator in plan.layout.operators}
    assert len(shown) == len(OPERATORS), "each operator has an example"
