"""Made-up histories of what customers say, against the rules of docs/consent.md in plain words."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.campaign.consent_sections import PurposeSpec
from stream.campaign.file import Campaign
from stream.campaign.purposes import purposes_of
from tests.stream.consent_harness import DAY, HOUR, NOW_MS, SECOND, Shop, decisions, segment
from tests.stream.events.consent.consent_oracle import plain_said

STRATEGIES = {"plain": ("", ()), "mail": ("email", ()), "news": ("email", ("letters",))}


@cache
def campaign(consent: str) -> Campaign:
    """Three strategies that everybody may get: by nothing, by its channel, by a purpose."""
    base = segment()
    strategy = base.strategies[0]
    return msgspec.structs.replace(
        base,
        events=msgspec.structs.replace(base.events, repeats_remembered=1024),
        purposes=(PurposeSpec(id="letters", paths=("traits.letters",), names=("newsletter",)),),
        strategies=tuple(
            msgspec.structs.replace(strategy, id=name, channel=channel, purposes=needs, eligible=())
            for name, (channel, needs) in STRATEGIES.items()
        ),
        policy=msgspec.structs.replace(base.policy, consent=consent),
    )


WORDS: st.SearchStrategy[Any] = st.sampled_from(
    [True, False, "granted", "Opted-Out", "hmm", "", None, "subscribed", {}]
)
FORMS: list[Callable[[Any], dict[str, Any]]] = [
    lambda word: {"traits": {"marketing_consent": word}},
    lambda word: {"context": {"traits": {"letters": word}}},
    lambda word: {"traits": {"letters": word, "marketing_consent": True}},
    lambda word: {"context": {"consent": {"categoryPreferences": {"Advertising": word}}}},
    lambda word: {"context": {"consent": {"categoryPreferences": {"x": 1, "newsletter": word}}}},
    lambda word: {"context": {"consentManagement": {"deniedConsentIds": [word]}}},
    lambda word: {"context": {"consentManagement": {
        "allowedConsentIds": ["newsletter", "marketing"], "deniedConsentIds": ["Email"],
        "resolutionStrategy": word,
    }}},
    lambda word: {"consents": {"marketing": {"any": {"val": word}, "email": {"val": "y"}}}},
    lambda word: {"consents": {"marketing": {"email": {"val": word}}}},
]  # fmt: skip


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, dict[str, Any]]]:
    """Records of one customer with the time of each record."""
    at_ms, records = NOW_MS, []
    for k in range(draw(st.integers(1, 12))):
        at_ms += draw(st.sampled_from([0, SECOND, HOUR, -SECOND]))
        said = draw(st.sampled_from(FORMS))(draw(WORDS))
        clock_ms = draw(st.sampled_from([0, 0, -SECOND, -2 * DAY, 20 * HOUR, 400 * DAY]))
        record = {"type": "identify", "userId": "u-1", "messageId": f"m-{k}", **said}
        record["timestamp"] = draw(st.sampled_from([at_ms + clock_ms, "soon", None]))
        record |= draw(st.sampled_from([{}, {}, {}, {"type": 7}, {"messageId": []}]))
        if record["messageId"] and draw(st.integers(0, 4)) == 0:
            record["messageId"] = draw(st.sampled_from(["a", "b"]))
        records.append((at_ms, record))
    return records


class Plain:
    """What is in force by the rules, for one customer."""

    def __init__(self, of: Campaign) -> None:
        self.campaign = of
        self.purposes = purposes_of(of)
        self.said = [-1] * len(self.purposes)
        self._time_ms = [0] * len(self.purposes)
        self._ids: set[str] = set()

    def hear(self, at_ms: int, record: dict[str, Any]) -> None:
        time_ms = record["timestamp"]
        time_ms = min(time_ms, at_ms) if isinstance(time_ms, int) else at_ms
        is_event, name = isinstance(record["type"], str), record["messageId"]
        is_new = is_event and not (isinstance(name, str) and name in self._ids)
        all_said = plain_said(record, self.campaign.events, self.purposes, wrapped=False)
        for p, said in enumerate(all_said):
            if said == 1 and is_new and time_ms >= self._time_ms[p]:
                self.said[p], self._time_ms[p] = 1, time_ms
            again = is_event and not is_new and time_ms < self._time_ms[p]
            if said in (0, -2) and not again:
                self.said[p], self._time_ms[p] = said, max(time_ms, self._time_ms[p])
        if is_event and isinstance(name, str):
            self._ids.add(name)

    def refused(self) -> set[str]:
        """Strategies that nobody may use now."""
        said = dict(zip((purpose.id for purpose in self.purposes), self.said, strict=True))
        out = set()
        for name, (channel, needs) in STRATEGIES.items():
            own = [said[p] for p in (*needs, *([channel] if channel else []))]
            is_denied = bool({said["marketing"], *own} & {0, -2})
            if needs:
                is_granted = all(said[p] == 1 for p in needs)
            else:
                is_granted = 1 in (said["marketing"], *own)
            mode = self.campaign.policy.consent
            if mode != "ignore" and (is_denied or (mode == "opt_in" and not is_granted)):
                out.add(name)
        return out


@pytest.mark.slow
@given(histories(), st.sampled_from(["opt_out", "opt_in", "ignore"]), st.sets(st.integers(1, 23)))
@settings(max_examples=150)
def test_decisions_follow_the_rules_however_the_log_is_cut(
    history: list[tuple[int, dict[str, Any]]], consent: str, cuts: set[int]
) -> None:
    shop, plain = Shop(campaign(consent)), Plain(campaign(consent))
    log: list[tuple[int, dict[str, Any]]] = []
    expected, is_denied = [], []
    for k, (at_ms, record) in enumerate(history):
        plain.hear(at_ms, record)
        asks = {"type": "track", "event": "Product Added", "userId": "u-1", "messageId": f"pa-{k}"}
        log += [(at_ms, record), (at_ms, {**asks, "timestamp": at_ms})]
        expected.append(plain.refused())
        is_denied.append(plain.said[0] in (0, -2))
    steps = [shop.take_at(part) for part in parts(log, cuts)]
    decided = [one for step in steps for one in decisions(step)]
    assert len(decided) == len(history)
    for one, refused, denied in zip(decided, expected, is_denied, strict=True):
        without = {d["strategy"] for d in one["dropped"] if d["code"] == "NO_CONSENT"}
        assert without == refused
        assert (one["reasons"] == ["NO_CONSENT"]) is (refused == set(STRATEGIES))
        assert not (denied and one["decision"] == "act" and consent != "ignore")


def parts(log: list[Any], cuts: set[int]) -> list[list[Any]]:
    at = sorted({0, len(log), *(cut for cut in cuts if cut < len(log))})
    return [log[a:b] for a, b in pairwise(at)]
