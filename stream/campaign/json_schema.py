"""JSON Schema of the campaign file, for editors that complete and check it.

The types are those that the file is read with. What a type cannot say, such as which settings an operator
takes, `opportune check` says.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import msgspec

from stream.campaign import file, funnel_sections, topics_section, training
from stream.campaign.file import Campaign
from stream.campaign.sections import budget_section, contact_sections, table_section

_MODULES = (
    file,
    budget_section,
    contact_sections,
    funnel_sections,
    table_section,
    topics_section,
    training,
)
_ATTRIBUTE = re.compile(r"^(\w+): (.*(?:\n    .*)*)", re.MULTILINE)


def campaign_schema() -> dict[str, Any]:
    """A schema of draft 2020-12, as JSON has it, with a description of every setting that has one."""
    schema = msgspec.json.schema(Campaign)
    for name, described in schema["$defs"].items():
        _describe(described, _section(name))
    top = schema["$defs"]["Campaign"]
    top["title"], top["description"] = "Opportune campaign", "opportune.toml: docs/campaign.md"
    ready: dict[str, Any] = _portable(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **ready}


def _section(name: str) -> type[Any]:
    """The class of a definition."""
    found = (getattr(module, name, None) for module in _MODULES)
    section = next(one for one in found if one is not None)
    assert isinstance(section, type), name
    return section


def _describe(described: dict[str, Any], section: type[Any]) -> None:
    """Gives each setting the words that the class has for it."""
    said = inspect.getdoc(section) or ""
    head, _, attributes = said.partition("\n\nAttributes:\n")
    described["description"] = _one_line(head)
    for name, words in _ATTRIBUTE.findall(inspect.cleandoc(attributes)):
        setting = described["properties"].get(name)
        if setting is not None:
            described["properties"][name] = {**setting, "description": _one_line(words)}


def _one_line(words: str) -> str:
    return " ".join(words.split())


def _portable(part: Any) -> Any:
    """The same with patterns as JavaScript has them: its end of a text is "$", not Python's."""
    if isinstance(part, dict):
        return {
            key: value.replace(r"\Z", "$") if key == "pattern" else _portable(value)
            for key, value in part.items()
        }
    return [_portable(one) for one in part] if isinstance(part, list | tuple) else part
