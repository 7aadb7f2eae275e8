"""Time of day and day of week in the customer's zone: with daylight saving, from the bytes of events on."""

from __future__ import annotations

import json
import math
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.campaign.file import Campaign, parse
from stream.codecs import event_decoder
from stream.columns import RecordChunk
from stream.errors import CampaignError
from stream.events.flaws import Flaws
from stream.features.plan import apply_raw, compile_features
from stream.features.silence import Silence
from tests.stream.events.events_harness import chunk_of
from trainer.history.source import Bounds
from trainer.replay.shards import Shards
from trainer.replay.timeline import replay_blocks

TEXT = """
app = "t"
topics = { events = ["events"] }
strategies = [{ id = "mail" }]
events = { strict = STRICT }
features = [
  { op = "time_of_day", name = "utc" },
  { op = "time_of_day", name = "shop", time_zone = "Europe/Berlin" },
  { op = "time_of_day", name = "own", time_zone = "America/New_York", property = "context.timezone" },
  { op = "day_of_week", property = "context.timezone" },
  { op = "share", property = "context.timezone", half_lives = ["7d"], buckets = 2 },
  { op = "sum", property = "p.items[].v", half_lives = ["7d"], name = "v" },
  { op = "distinct", property = "p.items[].c", name = "c" },
]
"""
CAMPAIGN = parse(TEXT.replace("STRICT", "false"))
STRICT = parse(TEXT.replace("STRICT", "true"))
PLAN = compile_features(CAMPAIGN)
LATER_MS = 4_000_000_000_000
# Both changes of Berlin and New York in 2025, a change of Lord Howe by half an hour, and any time.
CHANGES_MS = [1743296400000, 1761440400000, 1741503600000, 1762063200000, 1743865200000]
TIMES = st.sampled_from(CHANGES_MS).flatmap(lambda at: st.integers(at - 3, at + 3)) | st.integers(
    1_000_000_000_000, 2_000_000_000_000
)
ZONES = st.sampled_from(
    ["Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC", "Pacific/Apia", None, "",
     "Mars/Base", "europe/berlin", "+02:00", 5, {"name": "UTC"}]
)  # fmt: skip


def event(time_ms: int, zone: Any, key: str = "userId") -> bytes:
    items = [{"v": 2.5, "c": "a"}, {"c": "b"}]
    properties = {"event": "x", "timestamp": time_ms, "p": {"items": items}}
    context = {} if zone is None else {"timezone": zone}
    text = json.dumps({"userId": "u", **properties, "context": context})
    return text.replace("userId", key).encode()


def features(chunk: RecordChunk, campaign: Campaign = CAMPAIGN) -> tuple[Any, Flaws]:
    """By feature what it is after each event, and what could not be read."""
    decoded = event_decoder(campaign, PLAN).decode(chunk, LATER_MS)
    out = np.zeros((len(decoded.batch), len(PLAN.names)))
    rows = np.zeros(len(out), np.int64)
    apply_raw(PLAN, np.zeros((1, PLAN.row_words)), rows, decoded.batch, 0, out)
    return out, decoded.flaws


def known(zone: Any) -> bool:
    return isinstance(zone, str) and zone in {
        "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC", "Pacific/Apia",
    }  # fmt: skip


def turns(time_ms: int, zone: str) -> tuple[float, float]:
    """Part of the local day and of the local week."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    local = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    day = (local - datetime.combine(local.date(), datetime.min.time())) / timedelta(days=1)
    return day, (local.weekday() + day) / 7


@given(st.lists(st.tuples(TIMES, ZONES), min_size=1, max_size=6), st.booleans())
@settings(deadline=None)
def test_features_go_by_the_clock_on_the_customers_wall(
    log: list[tuple[int, Any]], by_judge: bool
) -> None:
    key = r"us\u0065rId" if by_judge else "userId"
    chunk = chunk_of([event(time_ms, zone, key) for time_ms, zone in log], LATER_MS)
    out, flaws = features(chunk)
    now_ms = 0
    for i, (time_ms, zone) in enumerate(log):
        now_ms = max(now_ms, time_ms)  # features hold as of the newest event
        own = zone if known(zone) else "America/New_York"
        week_zone = zone if known(zone) else "UTC"
        expected = {
            "utc": turns(now_ms, "UTC")[0],
            "shop": turns(now_ms, "Europe/Berlin")[0],
            "own": turns(now_ms, own)[0],
            "day_of_week": turns(now_ms, week_zone)[1],
        }
        got = dict(zip(PLAN.names, out[i].tolist(), strict=True))
        for name, turn in expected.items():
            assert got[f"{name}_sin"] == pytest.approx(math.sin(2 * math.pi * turn), abs=1e-9)
            assert got[f"{name}_cos"] == pytest.approx(math.cos(2 * math.pi * turn), abs=1e-9)
    unknown = sum(bool(zone) and not known(zone) for _, zone in log)
    objects = sum(isinstance(zone, dict) for _, zone in log)
    # The same path is a category as well, which only an object is not.
    assert flaws.by_path()["context.timezone"] == unknown + objects


def test_a_name_that_nobody_knows_is_told_and_refused_if_strict() -> None:
    chunk = chunk_of([event(CHANGES_MS[0], "Mars/Base")], LATER_MS)
    _, flaws = features(chunk)
    for key in ("userId", r"us\u0065rId"):
        unknown = chunk_of([event(CHANGES_MS[0], "Mars/Base", key)], LATER_MS)
        assert event_decoder(CAMPAIGN, PLAN).decode(unknown, LATER_MS).batch.category[-1] == 0
    said = "expected the IANA name of a time zone at context.timezone, got 'Mars/Base'"
    assert flaws.examples == {"context.timezone": said}
    (reject,) = event_decoder(STRICT, PLAN).decode(chunk, LATER_MS).rejects
    assert (reject.code, reject.reason) == ("bad_type", said)


@given(st.lists(st.tuples(TIMES, ZONES), min_size=1, max_size=6))
@settings(max_examples=20, deadline=None)
def test_training_sees_the_bits_of_the_worker(log: list[tuple[int, Any]]) -> None:
    log = sorted(log, key=lambda one: one[0])
    chunk = chunk_of([event(time_ms, zone) for time_ms, zone in log], LATER_MS)
    expected, _ = features(chunk)
    with tempfile.TemporaryDirectory() as folder:
        shards = Shards(CAMPAIGN, PLAN, Path(folder), Bounds())
        shards.add(chunk)
        (shard,) = shards.shards()
        timeline = shards.timeline(shard)
        out = np.zeros_like(expected)
        for which, values in replay_blocks(PLAN, timeline, np.arange(len(log))):
            out[which] = values
    assert out.tobytes() == expected.tobytes()


def test_a_zone_that_never_comes_is_told() -> None:
    campaign = msgspec.structs.replace(CAMPAIGN, features=CAMPAIGN.features[2:3])
    plan = compile_features(campaign)
    assert plan.property_paths == ("context.timezone",)
    silence = Silence(campaign, plan)
    silence.add(np.zeros(1, np.int64), np.array([0] * len(plan.event_types) + [1000]))
    assert silence.never() == {"context.timezone": 1000}


def test_zones_belong_to_the_contract_and_utc_leaves_it_as_it_was() -> None:
    def digest(fields: str) -> str:
        text = 'app = "t"\ntopics = { events = ["e"] }\nstrategies = [{ id = "m" }]\n'
        plan = compile_features(parse(f'{text}features = [{{ op = "time_of_day"{fields} }}]'))
        assert plan.row_words == compile_features(parse(f'{text}features = [{{ op = "time_of_day" }}]')).row_words  # fmt: skip
        return plan.contract.digest

    plain = digest("")
    assert digest(', time_zone = "UTC"') == plain
    assert len({plain, digest(', time_zone = "Asia/Tokyo"'), digest(', property = "z"')}) == 3


@pytest.mark.parametrize(
    ("feature", "said"),
    [
        ('op = "time_of_day", time_zone = "Mars/Base"', r"features\[0\].time_zone: expected the IANA"),
        ('op = "tenure", time_zone = "Asia/Tokyo"', r"features\[0\].time_zone: expected nothing, tenure"),
        ('op = "day_of_week", property = "a[].b"', r"features\[0\].property: expected one value"),
    ],
)  # fmt: skip
def test_what_is_no_zone_is_refused(feature: str, said: str) -> None:
    text = 'app = "t"\ntopics = { events = ["e"] }\nstrategies = [{ id = "m" }]\n'
    with pytest.raises(CampaignError, match=said):
        compile_features(parse(f"{text}features = [{{ {feature} }}]"))
