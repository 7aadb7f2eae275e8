"""Where an array stands in JSON text, plainly: for records that the scan gives up on."""

from __future__ import annotations

import json

from stream.campaign.field_path import Steps

_SPACE = " \t\n\r"
_DECODER = json.JSONDecoder(parse_int=len, parse_float=len)  # what numbers are matters to nobody


def array_place(value: bytes, steps: Steps) -> int:
    """The first byte of the value that a path leads to; of equal keys the last counts.

    Args:
        value: JSON in UTF-8 that Python's parser takes.
        steps: The path; it leads to an array, and so to no record header.
    """
    text = value.decode()
    at = _after_space(text, 0)
    for step in steps:
        if isinstance(step, int):
            at = _item(text, at, step)
        elif isinstance(step, str):
            at = _member(text, at, step)
    return len(text[:at].encode())


def _member(text: str, at: int, wanted: str) -> int:
    """Where the value of a key begins, in the object at `at`."""
    found, at = at, _after_space(text, at + 1)
    while text[at] != "}":
        key, at = _DECODER.raw_decode(text, at)
        at = _after_space(text, _after_space(text, at) + 1)
        found = at if key == wanted else found
        at = _behind(text, at)
    return found


def _item(text: str, at: int, index: int) -> int:
    """Where an element begins, of the array at `at`."""
    at = _after_space(text, at + 1)
    for _ in range(index):
        at = _behind(text, at)
    return at


def _behind(text: str, at: int) -> int:
    """Where the next member or the end begins, behind the value at `at`."""
    end = _after_space(text, _DECODER.raw_decode(text, at)[1])
    return _after_space(text, end + 1) if text[end] == "," else end


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at
