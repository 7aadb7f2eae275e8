"""What prose names is there: files, modules, tests, links and their headings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLACES = ("stream", "models", "trainer", "tests", "benchmarks", "examples", "docs")
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
)
SOURCES = sorted(path for place in PLACES for path in (ROOT / place).rglob("*.py"))

_PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(PLACES)})(?:/[\w-]+)*/(?:[\w-]+\.\w+|[\w-]*)")
_MODULE = re.compile(r"`((?:stream|models|trainer)(?:\.[a-z_]\w*)+)")
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_TEST = re.compile(r"`(test_\w+)`")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(path: Path) -> str:
    """A page, or the docstrings of a module and the strings that stand for themselves."""
    text = path.read_text("utf-8")
    if path.suffix != ".py":
        return re.sub(r"https?://\S+", "", text)
    strings = (
        node.value.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )
    return "\n".join(str(string) for string in strings)


@cache
def headings(path: Path) -> set[str]:
    """Anchors of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", _BLOCK.sub("", path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def missing_paths(text: str) -> Iterator[str]:
    for path in _PATH.findall(text):
        if not (ROOT / path).exists() and not list(ROOT.glob(f"{path}*")):
            yield path


def missing_modules(text: str) -> Iterator[str]:
    """Modules, or names in modules, that are not there."""
    for dotted in _MODULE.findall(text):
        parts = dotted.split(".")
        places = [ROOT.joinpath(*parts[:k]) for k in range(2, len(parts) + 1)]
        if not any(place.is_dir() or place.with_suffix(".py").is_file() for place in places):
            yield dotted


@pytest.mark.parametrize("path", [*PAGES, *SOURCES], ids=name_of)
def test_files_and_modules_that_are_named_exist(path: Path) -> None:
    text = prose(path)
    assert list(missing_paths(text)) == []
    assert list(missing_modules(text)) == []


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    text = _BLOCK.sub("", path.read_text("utf-8"))
    for target, heading in _LINK.findall(re.sub(r"`[^`\n]*`", "code", text)):
        page = (path.parent / target).resolve() if target else path
        assert page.exists(), target
        assert not heading or heading in headings(page), f"{target}#{heading}"


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_tests_that_are_named_exist(page: str) -> None:
    there = {path.stem for path in SOURCES}
    assert sorted(set(_TEST.findall((ROOT / page).read_text("utf-8"))) - there) == []
