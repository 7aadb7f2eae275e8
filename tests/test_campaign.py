"""Every kind of mistake in a campaign file is refused with its path, its value and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.campaign import Campaign, load, parse
from stream.campaign_types import duration_ms
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
    ],
)  # fmt: skip
def test_a_mistake_is_refused(change: tuple[str, str], says: list[str]) -> None:
    with pytest.raises(CampaignError) as caught:
        parse(GOOD.replace(*change), where="shop.toml")
    message = str(caught.value)
    assert message.startswith("shop.toml: ")
    for part in says:
        assert part in message, message


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="expected a campaign file, No such file"):
        load(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'app = "caf\xe9"')
    with pytest.raises(CampaignError, match="expected UTF-8, got byte 0xe9"):
        load(tmp_path / "latin.toml")


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[1].glob("*/**/opportune.toml")), ids=str
)
def test_the_campaigns_of_the_project_are_valid(path: Path) -> None:
    assert isinstance(load(path), Campaign)


def test_durations() -> None:
    assert [duration_ms(text) for text in ("500ms", "2s", "3m", "1h", "7d", "2w")] == [
        500, 2_000, 180_000, 3_600_000, 604_800_000, 1_209_600_000,
    ]  # fmt: skip
