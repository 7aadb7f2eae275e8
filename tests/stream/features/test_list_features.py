"""Features of lists, from the bytes of events to the values: an element counts as an event of its own."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.campaign.consent_sections import SuppressionSpec
from stream.campaign.file import parse
from stream.codecs import event_decoder
from stream.errors import CampaignError
from stream.features.plan import FeaturePlan, apply_raw, compile_features
from tests.stream.consent_harness import Shop, added, dropped, outcome, segment
from tests.stream.events.events_harness import NOW_MS, chunk_of

HOUR_MS = 3_600_000
FEATURES = """
app = "t"
topics = {{ events = ["e"] }}
strategies = [{{ id = "mail" }}]
features = [
  {{ op = "share", property = "{path}", half_lives = ["1h", "7d"], buckets = 11, name = "share" }},
  {{ op = "share", property = "{path}", half_lives = ["7d"], buckets = 3, name = "few" }},
  {{ op = "distinct", property = "{path}", name = "ever" }},
  {{ op = "distinct", property = "{path}", window = "2d", name = "lately" }},
]
"""
LISTED, SINGLE = parse(FEATURES.format(path="p.items[].c")), parse(FEATURES.format(path="p.c"))
MONEY = parse("""
app = "t"
topics = { events = ["e"] }
strategies = [{ id = "mail", eligible = ["items_last >= 2"] }]
features = [
  { op = "sum", property = "p.items[].v", half_lives = ["7d"], name = "spent" },
  { op = "window_sum", property = "p.items[]", window = "1d", name = "bought" },
  { op = "last", property = "p.items[].v" },
  { op = "last", property = "p.items[]" },
]
""")


def event(after_ms: int, properties: dict[str, Any]) -> bytes:
    time_ms = NOW_MS + after_ms
    return json.dumps({"userId": "u", "event": "x", "timestamp": time_ms, "p": properties}).encode()


def values(plan: FeaturePlan, campaign: Any, raw: list[bytes]) -> dict[str, list[float]]:
    """Every feature after each of some events of one customer."""
    decoded = event_decoder(campaign, plan).decode(chunk_of(raw, NOW_MS + 10**10), NOW_MS)
    assert not decoded.rejects
    state = np.zeros((1, plan.row_words))
    out = np.zeros((len(raw), len(plan.names)))
    apply_raw(plan, state, np.zeros(len(raw), np.int64), decoded.batch, 0, out)
    return dict(zip(plan.names, out.T.tolist(), strict=True))


CATEGORIES = st.sampled_from([*(f"c{k}" for k in range(30)), None, "", 7, True])


@given(
    st.lists(
        st.tuples(st.sampled_from([-50, -1, 0, 1, 30, 80]), st.lists(CATEGORIES, max_size=9)),
        min_size=1, max_size=8,
    )
)  # fmt: skip
@settings(deadline=None)
def test_an_element_counts_as_an_event_of_its_own(
    log: list[tuple[int, list[Any]]],
) -> None:
    listed, single, last = [], [], []
    now_ms = 0
    for step, categories in log:
        now_ms += step * HOUR_MS
        listed.append(event(now_ms, {"items": [{"c": one} for one in categories]}))
        single += [event(now_ms, {"c": one}) for one in categories] or [event(now_ms, {})]
        last.append(len(single) - 1)
    of_lists = values(compile_features(LISTED), LISTED, listed)
    of_events = values(compile_features(SINGLE), SINGLE, single)
    assert of_lists.keys() == of_events.keys()
    for name, got in of_lists.items():
        assert got == pytest.approx([of_events[name][k] for k in last], rel=1e-9, abs=1e-9), name


def test_numbers_of_lists_are_numbers_like_any() -> None:
    plan = compile_features(MONEY)
    assert plan.names == ("spent", "bought", "v_last", "v_last_missing", "items_last", "items_last_missing")  # fmt: skip
    items = [{"v": 2}, {"v": "3.5"}, {"v": "n/a"}]
    got = values(
        plan, MONEY,
        [event(0, {}), event(0, {"items": items}), event(0, {"items": []}), event(0, {"items": [{}]})],
    )  # fmt: skip
    assert got["spent"] == [0.0, 5.5, 5.5, 5.5]
    assert got["bought"] == [0.0, 3.0, 3.0, 4.0]
    assert got["v_last"] == pytest.approx([math.nan, 5.5, 0.0, 0.0], nan_ok=True)
    assert got["v_last_missing"] == [1.0, 0.0, 0.0, 0.0]
    assert got["items_last"] == pytest.approx([math.nan, 3.0, 0.0, 1.0], nan_ok=True)


def test_columns_are_shared_and_belong_to_the_layout() -> None:
    plan = compile_features(LISTED)
    assert plan.category_paths == ()
    assert [(c.keeps, c.buckets, c.first_bucket) for c in plan.category_columns] == [
        ("counts", 11, 0), ("counts", 11, 8), ("counts", 3, 0), ("mask", 0, 0),
    ]  # fmt: skip
    assert plan.property_paths == ("p.items[].c",)
    assert plan.layout_digest != compile_features(SINGLE).layout_digest


def test_a_condition_holds_when_any_element_does() -> None:
    rule = SuppressionSpec(
        events=("Complained",), channel="email",
        where={"properties.reasons[]": ("hard", "spam"), "properties.items[].kind": ("Mail",)},
    )  # fmt: skip
    one = SuppressionSpec(
        events=("Complained",), channel="email", where={"properties.reasons[]": ("late",)},
        for_="1d",
    )  # fmt: skip
    shop = Shop(segment(suppressions=(rule, one)))

    def complained(reasons: Any, kinds: list[Any]) -> str:
        items = [{"kind": kind} for kind in kinds]
        properties = {"reasons": reasons, "items": items}
        shop.take(added(event="Complained", properties=properties))
        return outcome(shop)

    assert complained(["soft", "slow"], ["mail"]) == "act"
    assert complained(["soft", "Spam"], ["push", "sms"]) == "act"
    assert complained([], []) == "act"
    assert complained("spam", ["mail"]) == "act"  # no list
    assert complained(["soft", "spam", "spam"], ["push", "MAIL"]) != "act"
    assert dropped(shop)["cart-reminder"] == "SUPPRESSED"
    assert shop.row()["closed_until_ms"]["email"] == "for ever"


@pytest.mark.parametrize(
    ("where", "path", "rest"),
    [
        ("features[0].property", "a[].b", ""),
        ("suppressions[0].where", "a", '[[suppressions]]\nevents = ["x"]\nchannel = "*"\nwhere = {"b[]" = ["c"]}'),
    ],
)  # fmt: skip
def test_lists_are_read_from_json_only(where: str, path: str, rest: str) -> None:
    text = f"""
app = "t"
topics = {{ events = ["e"] }}
strategies = [{{ id = "mail" }}]
events = {{ format = "avro", schema_registry = "http://r:1" }}
features = [{{ op = "last", property = "{path}" }}]
{rest}
"""
    said = rf'at {where}: expected no list \[\] with events.format = "avro", .*read from JSON only'
    with pytest.raises(CampaignError, match=said.replace("[0]", r"\[0\]")):
        parse(text)
    parse(text.replace("avro", "json").replace(', schema_registry = "http://r:1"', ""))


@pytest.mark.parametrize("name", ["strategy_property", "propensity_property"])
def test_what_is_one_value_is_no_list(name: str) -> None:
    text = f"""
app = "t"
topics = {{ events = ["e"] }}
strategies = [{{ id = "mail" }}]
features = [{{ op = "tenure" }}]
training = {{ {name} = "a[].b" }}
"""
    with pytest.raises(CampaignError, match=rf"at training\.{name}: expected one value"):
        parse(text)
