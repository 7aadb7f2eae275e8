"""Texts that others wrote, made fit to be printed: ids, names, reasons, paths, messages.

A terminal obeys escape sequences wherever they come from. Here every character that moves the cursor,
changes the direction of writing, or cannot be encoded is shown by its number.
"""

from __future__ import annotations

import re

_HIDDEN = (
    r"\x00-\x1f\x7f-\x9f"  # C0, DEL and C1: escape sequences begin with one of them
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # change the direction of what follows
    r"\u2028\u2029"  # end a line in some programs
    r"\ud800-\udfff"  # no text at all: what Python makes of file names that are not UTF-8
)
_HIDDEN_CHARACTER = re.compile(f"[{_HIDDEN}]")
_HIDDEN_BUT_LAYOUT = re.compile(f"(?![\\n\\t])[{_HIDDEN}]")
_NAMES = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def visible(text: object) -> str:
    """A text on one line, in which characters that would act on a terminal are shown."""
    return _HIDDEN_CHARACTER.sub(_shown, str(text))


def visible_lines(text: object) -> str:
    """`visible`, but for line ends and tabs, which stay: a message or traceback of several lines."""
    return _HIDDEN_BUT_LAYOUT.sub(_shown, str(text))


def visible_json(document: str) -> str:
    """The same JSON, with such characters of its strings as escapes; `document` is on one line."""
    return _HIDDEN_CHARACTER.sub(lambda match: f"\\u{ord(match[0]):04x}", document)


def _shown(match: re.Match[str]) -> str:
    character = match[0]
    number = ord(character)
    return _NAMES.get(character) or (f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}")
