"""A mutated campaign file is a campaign that compiles, or a `CampaignError` that says what is wrong."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from stream.campaign.file import load, parse
from stream.codecs import compile_codecs
from stream.errors import CampaignError
from stream.features.plan import compile_features
from stream.worker.commands.describe import describe_campaign
from stream.worker.commands.doubts import doubts

EXAMPLES = sorted(Path(__file__).parents[3].glob("examples/*/opportune.toml"))
TOKENS = (
    "0", "-1", "1e400", "inf", "nan", "-0.0", "true", "9" * 30, "9" * 5_000, "2026-13-01", "0xff",
    '""', '"[/x]"', '"*"', '"a.b.c"', '"' + "a" * 300 + '"', '"\\u0000"', '"\\u001b[2J"', '"{0}"',
    '"\U0001f381"', '"$.x"', "[]", "{}", "[[[]]]", '["a", 1]', "'''x'''", "\x00", "\u2028", '"90d"',
    '"1"', '"p > 1e999"', '"p.{0..99999999999}"', '"p_{5..1}"',
)  # fmt: skip


def mutated(source: random.Random, text: str) -> str:
    lines = text.splitlines()
    for _ in range(source.choice((1, 1, 2, 4))):
        at = source.randrange(len(lines))
        kind = source.randrange(6)
        name, equals, _value = lines[at].partition("=")
        if kind <= 2 and equals:
            lines[at] = f"{name}= {source.choice(TOKENS)}"
        elif kind == 3:
            lines.insert(source.randrange(len(lines)), lines[at])
        elif kind == 4:
            del lines[at]
        elif lines[at]:
            cut = source.randrange(len(lines[at]))
            letter = source.choice(["", chr(source.randrange(0xD7FF)), *"[]{}\"'#=.,\\*"])
            lines[at] = lines[at][:cut] + letter + lines[at][cut + source.randrange(3) :]
        lines = lines or ["app = 1"]
    return "\n".join(lines)


def outcome(text: str) -> bool:
    """Whether it is a campaign; one that is compiles, or is refused by its own error, too."""
    try:
        campaign = parse(text)
        compile_codecs(campaign, compile_features(campaign))
    except CampaignError:
        return False
    doubts(campaign)
    return True


@pytest.mark.slow
def test_1000_mutated_campaigns_are_campaigns_or_refused() -> None:
    source = random.Random(3)
    texts = [path.read_text() for path in EXAMPLES]
    valid = sum(outcome(mutated(source, source.choice(texts))) for _ in range(1_000))
    assert 100 < valid < 900  # or the mutations are too fine or too crude


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = " + "[" * 100_000, "nested without end"),
        ("x = " + "{a=" * 100_000, "nested without end"),
        ("x = " + "9" * 5_000, "digits"),
        ("#" * (5 << 20), "at most 4194304 characters"),
        ("x.y = 1\nx = 2", "expected TOML"),
    ],
)
def test_what_no_reader_of_toml_foresees_is_refused(text: str, says: str) -> None:
    with pytest.raises(CampaignError, match=says):
        parse(text)


def test_an_endless_file_is_no_campaign() -> None:
    with pytest.raises(CampaignError, match="at most 4194304 characters"):
        load("/dev/zero")


@pytest.mark.parametrize("name", ["日本", "ä b", "a:b", "%s{0}", "'q'", "🎁", "[/x]", "a/b", "\\"])
def test_unusual_names_break_nothing(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = EXAMPLES[-1].read_text()
    line = next(line for line in text.splitlines() if line.startswith("channel"))
    campaign = parse(text.replace(line, f"channel = '''{name}'''"))
    describe_campaign(Path("x"), campaign)
    assert name in capsys.readouterr().out
