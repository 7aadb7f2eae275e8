"""docs/campaign.md has every setting with its default, and none that is not there."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import NODEFAULT

from stream.campaign.file import Campaign
from stream.campaign.words import Section

PAGE = Path(__file__).parents[3] / "docs" / "campaign.md"
_ROW = re.compile(r"^\| `([\w.]+)` \| (required|none|`[^|]*`) \| (\S[^|]*) \|$", re.MULTILINE)


def settings(section: type[Section] = Campaign, path: str = "") -> Iterator[tuple[str, str]]:
    """Each setting as the file spells it, and its default."""
    for field in msgspec.structs.fields(section):
        inner = list(sections(field.type))
        if inner:
            yield from settings(inner[0], f"{path}{field.encode_name}.")
        else:
            yield path + field.encode_name, default(field)


def sections(kind: Any) -> Iterator[type[Section]]:
    """The section that a field is, or has a list of."""
    if isinstance(kind, type) and issubclass(kind, Section):
        yield kind
    for part in typing.get_args(kind):
        yield from sections(part)


def default(field: msgspec.structs.FieldInfo) -> str:
    """As the page shows it."""
    if field.required:
        return "required"
    value = field.default if field.default is not NODEFAULT else field.default_factory()
    return "none" if value is None else f"`{msgspec.json.encode(value).decode()}`"


SETTINGS = dict(settings())
ROWS = [(name, shown) for name, shown, _ in _ROW.findall(PAGE.read_text("utf-8"))]


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_documented_with_its_default(name: str) -> None:
    assert dict(ROWS).get(name) == SETTINGS[name], f"docs/campaign.md: expected a row for {name}"


def test_the_page_has_each_setting_once_and_no_other() -> None:
    assert sorted(name for name, _ in ROWS) == sorted(SETTINGS)
    assert len(SETTINGS) > 90
