"""A campaign file derived from another: fresh names for a run, another form of the decisions."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_variant(source: Path, target: Path, changes: Mapping[str, Any]) -> None:
    """Writes the campaign with some values replaced.

    Args:
        source: The campaign file.
        target: The file to write.
        changes: New values by their path in the file, such as "topics.events".
    """
    campaign = tomllib.loads(source.read_text(encoding="utf-8"))
    for path, value in changes.items():
        *tables, key = path.split(".")
        section = campaign
        for table in tables:
            section = section.setdefault(table, {})
        section[key] = value
    lines = [f"{json.dumps(key)} = {_toml(value)}\n" for key, value in campaign.items()]
    target.write_text("".join(lines), encoding="utf-8")


def _toml(value: Any) -> str:
    """A TOML value on one line: JSON, except that an inline table has `=`."""
    if isinstance(value, Mapping):
        items = (f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items())
        return f"{{ {', '.join(items)} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)
