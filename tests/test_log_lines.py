"""Every line that is written on purpose stands in a table of the documentation, and is still written."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = {"stream": "operations.md", "trainer/service": "models.md", "trainer/archive": "archive.md"}
"""Where lines of which part are described; commands write those of what they start."""
COMMANDS = {"trainer/commands/trainer.py": "models.md", "trainer/commands/archive.py": "archive.md"}
OF_OTHERS = {"log"}
"""What `stream.log` calls the lines of Faust and others."""


class Module:
    """A module's calls of `log_event`, with the names that variables can stand for."""

    def __init__(self, path: Path) -> None:
        self.tree = ast.parse(path.read_text("utf-8"))
        self.functions = [n for n in ast.walk(self.tree) if isinstance(n, ast.FunctionDef)]

    def lines(self) -> Iterator[str]:
        """Names of the lines."""
        for call in self.calls("log_event"):
            yield from self.names(call.args[0], call)

    def calls(self, function: str) -> Iterator[ast.Call]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and called(node) == function:
                yield node

    def names(self, node: ast.expr, call: ast.Call) -> Iterator[str]:
        """What an expression may be: itself, what is assigned to it, what callers hand over."""
        if isinstance(node, ast.Constant):
            yield str(node.value)
        elif isinstance(node, ast.IfExp):
            yield from self.names(node.body, call)
            yield from self.names(node.orelse, call)
        elif isinstance(node, ast.Name):
            found = list(self.assigned(node.id, call)) + list(self.handed_over(node.id, call))
            assert found, f"line {node.lineno}: expected names of lines as literals"
            yield from found

    def assigned(self, name: str, call: ast.Call) -> Iterator[str]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
                yield from self.names(node.value, call)

    def handed_over(self, name: str, call: ast.Call) -> Iterator[str]:
        for function in self.functions:
            parameters = [one.arg for one in function.args.args if one.arg != "self"]
            if name in parameters and call in ast.walk(function):
                for caller in self.calls(function.name):
                    yield from self.names(caller.args[parameters.index(name)], caller)


def called(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


@cache
def written() -> dict[str, set[str]]:
    """Names of lines by the page that has to describe them."""
    found: dict[str, set[str]] = {page: set() for page in PAGES.values()}
    for package in ("stream", "models", "trainer"):
        for path in sorted((ROOT / package).rglob("*.py")):
            place = path.relative_to(ROOT).as_posix()
            page = COMMANDS.get(place) or next(
                (page for part, page in PAGES.items() if place.startswith(f"{part}/")), None
            )
            lines = set(Module(path).lines())
            assert page is not None or not lines, f"{place}: name the page that has {lines}"
            if page is not None:
                found[page] |= lines
    return found


def described(page: str) -> set[str]:
    """Names in the first column of the tables whose head is `evt`."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    tables = re.findall(r"^\| evt \|.*\n\|[- |]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = [row.split(" | ")[0] for table in tables for row in table.splitlines()]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


@pytest.mark.parametrize("page", PAGES.values())
def test_lines_of_the_log_are_described_and_described_ones_are_written(page: str) -> None:
    shared = written()["operations.md"]  # an archiver says what the skip list says everywhere
    names = written()[page]
    assert names - described(page) == set(), f"docs/{page}: describe them in the table of lines"
    assert described(page) - names - shared - OF_OTHERS == set(), f"docs/{page}: nobody writes them"


def test_names_are_found_where_they_are_chosen_and_handed_over() -> None:
    assert {"drained", "abandoned", "killed", "hanging", "registry_unreadable"} <= written()[
        "operations.md"
    ]
