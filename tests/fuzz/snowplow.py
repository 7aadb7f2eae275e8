"""Snowplow's columns beside the judge: random columns, JSON in some, and their bytes broken."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
from msgspec.structs import replace

from stream.campaign.purposes import general_purpose
from stream.campaign.words import duration_ms
from stream.columns import RecordChunk, Spans
from stream.events.consent.hearing import Hearing
from stream.events.consent.places import ConsentPlaces
from stream.events.decoder import EventDecoder
from stream.events.paths import EventPaths
from stream.events.present import JsonNumber, Refused
from stream.events.reasons import Judge
from stream.events.times.judged_times import Times
from stream.events.times.timestamps import text_ms
from stream.formats.snowplow.snowplow_columns import COLUMNS, JSON_COLUMNS, mapping_of
from stream.formats.snowplow.snowplow_format import SnowplowFormat
from tests.fuzz.framed import MAPPING, TYPES, mutated
from tests.fuzz.framed_check import NOW_MS, event_row, judged_row

_MAPPING = mapping_of(
    replace(
        MAPPING, format="snowplow", customer_id=("user_id", "unstruct_event.data.id"),
        event_id=("event_id",), type=("event_name", "event"), timestamp=("derived_tstamp", "collector_tstamp"),
        consent=("contexts.data[0].ok", "br_cookies"), consent_categories=("unstruct_event.data.c",),
        consent_allowed_ids=("contexts.ids",),
    ),
    "snowplow",
)  # fmt: skip
_NUMBERS = ("tr_total", "unstruct_event.data.n", "contexts.data[1].n", "true_tstamp")
_CATEGORIES = ("app_id", "unstruct_event.data.s", "se_category", "contexts.data[0]")
_PURPOSES = (general_purpose(_MAPPING),)
_JUDGE = Judge(
    _MAPPING, EventPaths.of(_MAPPING, _NUMBERS, _CATEGORIES), TYPES,
    Hearing(ConsentPlaces(_MAPPING, _PURPOSES)),
)  # fmt: skip
DECODER = EventDecoder(_MAPPING, TYPES, _NUMBERS, _CATEGORIES, _PURPOSES, SnowplowFormat())
_TIMES = Times(
    NOW_MS, NOW_MS, text_ms(_MAPPING.timestamp_earliest), duration_ms(_MAPPING.timestamp_ahead_max)
)
_WORDS = (
    "",
    "",
    "view",
    "buy",
    "é",
    "12.5",
    "yes",
    "no",
    "2025-01-02 03:04:05.678",
    "null",
    " ",
    "x" * 40,
)
_USUAL = ("user_id", "event_name", "derived_tstamp", "tr_total", "app_id", "br_cookies")
_SCALARS = ("a", 'q"', "é", "\t", 1.5, 7, True, False, None, "granted", "view", "\U0001f600")


def _json(rng: random.Random) -> Any:
    def one(depth: int) -> Any:
        how = rng.randrange(8 if depth else 6)
        if how == 6:
            return {
                key: one(depth - 1) for key in rng.sample(("n", "s", "ok", "id", "view", "b\n"), 2)
            }
        if how == 7:
            return [one(depth - 1) for _ in range(rng.randrange(3))]
        return rng.choice(_SCALARS)

    keys = ("n", "s", "id", "c")
    data = {key: one(2) for key in keys if rng.random() < 0.6}
    ids = [rng.choice(_SCALARS) for _ in range(rng.randrange(3))]
    return {"data": rng.choice((data, [one(2), one(2)], one(1))), "ids": ids, "schema": "iglu:x"}


def enriched(rng: random.Random) -> bytes:
    """One value, most often sound."""
    texts = [rng.choice(_WORDS) if rng.random() < 0.2 else "" for _ in COLUMNS]
    for name in _USUAL:
        if rng.random() < 0.8:
            texts[COLUMNS.index(name)] = rng.choice(_WORDS)
    for name in JSON_COLUMNS:
        text = json.dumps(_json(rng), ensure_ascii=rng.random() < 0.3)
        texts[COLUMNS.index(name)] = (
            text if rng.random() < 0.7 else rng.choice(("", "{", "{}", " ", "1"))
        )
    if rng.random() < 0.05:
        texts = texts[: rng.randrange(len(texts))]
    content = "\t".join(texts).encode()
    return mutated(rng, content) if rng.random() < 0.3 else content


def check_snowplow(rng: random.Random, values: int = 40) -> int:
    """One chunk; how many values were compared."""
    contents = [enriched(rng) for _ in range(values)]
    chunk = RecordChunk(
        "events", 0, np.arange(values), np.full(values, NOW_MS), Spans.of([None] * values),
        Spans.of(contents), values,
    )  # fmt: skip
    decoded = DECODER.decode(chunk, NOW_MS)
    found: dict[int, Any] = {one.record: one.code for one in decoded.rejects}
    for row, record in enumerate(decoded.batch.record.tolist()):
        if not decoded.batch.consent_only[row]:
            assert record not in found
            found[record] = event_row(decoded.batch, row)
    for i, content in enumerate(contents):
        expected = _judged(content)
        assert found[i] == expected, (i, content, found[i], expected)
    return values


def _judged(content: bytes) -> Any:
    """What the plain reading of the columns comes to."""
    try:
        texts = content.decode().split("\t")
    except UnicodeDecodeError:
        return "bad_snowplow"
    if len(texts) != len(COLUMNS):
        return "bad_snowplow"
    root: dict[str, Any] = {name: text for name, text in zip(COLUMNS, texts, strict=True) if text}
    for name in ("contexts", "unstruct_event"):
        if name in root:
            try:
                root[name] = object_of(root[name])
            except ValueError:
                return "bad_snowplow"
    try:
        return judged_row(_JUDGE.judge_root(root, _TIMES).event)
    except Refused as exc:
        return exc.code


def object_of(text: str) -> dict[str, Any]:
    """JSON by Python's own reader; numbers as they stand there."""

    def none(name: str) -> Any:
        raise ValueError(name)

    found = json.loads(text, parse_int=JsonNumber, parse_float=JsonNumber, parse_constant=none)
    if not isinstance(found, dict):
        raise ValueError("no object")  # noqa: TRY004  # as a fault of JSON
    return found
