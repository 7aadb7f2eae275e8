"""Rich output in which nothing that others wrote is markup or acts on the terminal.

Rules of this file
1. Nothing is markup: styles are given beside a text, by `words`, never within it.
2. Whatever is printed goes through `Terminal` or `words`; a `Text` made otherwise is not looked at.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from stream.visible import visible_lines


def words(*parts: str | tuple[str, str]) -> Text:
    """A text of parts, some of them with a style: for what would otherwise need markup."""
    shown = (visible_lines(p) if isinstance(p, str) else (visible_lines(p[0]), p[1]) for p in parts)
    return Text.assemble(*shown)


class Terminal(Console):
    """A rich console that shows what others wrote as it is: neither markup nor escape sequences."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, highlight=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """All strings that are printed, as cells, titles or by themselves, come by here."""
        return super().render_str(visible_lines(text), **options)
