"""The house: short files and functions, small folders, names that say one thing, contracts by package.

What is found here is a wish for a better cut, not for a line less: split where a second idea begins.
"""

from __future__ import annotations

import ast
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("stream", "models", "trainer")
ALL = (*PACKAGES, "benchmarks", "examples", "tests")

FILE_LINES_MAX = 300
FUNCTION_LINES_MAX = 50
"""Without the docstring."""
FOLDER_MODULES_MAX = 14

SAID_TWICE = {"__init__", "__main__", "errors", "command"}
"""Names of modules that say the same wherever they stand."""

OTHER_TESTS = {
    "tests/benchmarks",
    "tests/examples",
    "tests/fuzz",
    "tests/golden",
    "tests/simulation",
}
"""Folders of tests that are not about a folder of a package."""

LOADS_KERAS = {"__main__", "app", "deciding", "merged_step", "pipeline", "scoring", "worker"}
"""Parts of `stream` that may load Keras: the scorer, and what stands above it."""


def sources(*places: str) -> list[Path]:
    return [path for place in places for path in sorted((ROOT / place).rglob("*.py"))]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function from `def` on, without its docstring."""
    assert node.end_lineno is not None
    first = node.body[0]
    documented = ast.get_docstring(node) is not None
    text = (first.end_lineno or first.lineno) - first.lineno + 1 if documented else 0
    return node.end_lineno - node.lineno + 1 - text


def folders(*places: str) -> dict[str, list[str]]:
    """The modules of each folder, without `__init__`."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sources(*places):
        modules = found[name_of(path.parent)]
        if path.stem != "__init__":
            modules.append(path.stem)
    return found


def test_files_are_short() -> None:
    long = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in sources(*ALL)}
    assert {name: n for name, n in long.items() if n > FILE_LINES_MAX} == {}


def test_functions_are_short() -> None:
    long = {
        f"{name_of(path)}: {node.name}": lines_of(node)
        for path in sources(*ALL)
        for node in functions(path)
        if lines_of(node) > FUNCTION_LINES_MAX
    }
    assert long == {}


def test_folders_are_small() -> None:
    large = {
        folder: len(modules)
        for folder, modules in folders(*ALL).items()
        if len(modules) > FOLDER_MODULES_MAX
    }
    assert large == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_name_stands_for_one_thing(package: str) -> None:
    """Neither two modules nor a module and a folder; a command is called what its command is."""
    places: dict[str, list[str]] = defaultdict(list)
    for folder, modules in folders(package).items():
        if folder.endswith(("/commands", "/commands/looking")):
            continue
        for module in modules:
            if module not in SAID_TWICE:
                places[module].append(f"{folder}/{module}.py")
        inside = f"{folder}/{Path(folder).name}.py"
        if folder != package and inside not in places[Path(folder).name]:
            places[Path(folder).name].append(folder)
    assert {name: at for name, at in places.items() if len(at) > 1} == {}


def test_everything_public_is_documented() -> None:
    bare = [
        f"{name_of(path)}: {node.name}"
        for path in sources(*PACKAGES)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and (isinstance(node, ast.ClassDef) or node in public_functions(path))
        and ast.get_docstring(node) is None
    ]
    assert bare == []


@cache
def public_functions(path: Path) -> set[ast.AST]:
    """Functions of the module and of its public classes: not those inside other functions."""
    tree = tree_of(path)
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")]
    bodies = (tree.body, *(one.body for one in classes))
    return {node for body in bodies for node in body if not is_overload(node)}


def is_overload(node: ast.AST) -> bool:
    return any("overload" in ast.unparse(d) for d in getattr(node, "decorator_list", []))


def sentence(folder: str) -> str:
    """The first sentence of a folder's `__init__.py`."""
    text = ast.get_docstring(tree_of(ROOT / folder / "__init__.py"))
    assert text, f"{folder}/__init__.py: expected a sentence that says what the folder is for"
    return " ".join(text.split("\n\n")[0].split()).removesuffix(".")


def test_the_code_map_says_what_each_folder_says_of_itself() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    for folder in folders(*PACKAGES):
        assert f"| `{folder}/` | {sentence(folder)} |" in text, f"ARCHITECTURE.md: {folder}"


def test_tests_stand_where_their_subject_stands() -> None:
    for folder in folders("tests"):
        subject = ROOT / folder.removeprefix("tests/")
        if folder != "tests" and not any(folder.startswith(other) for other in OTHER_TESTS):
            told = f"{folder}: expected a folder {name_of(subject)}"
            assert subject.is_dir() or folder == "tests/stream/worker/faults", told


def test_no_type_is_talked_away() -> None:
    """What is cast to `Any` no checker sees, nor an import circle that is none when the code runs."""
    assert [
        name_of(path) for path in sources(*PACKAGES) if "cast(Any" in path.read_text("utf-8")
    ] == []
    hidden = [
        path for path in sources("stream/worker") if "TYPE_CHECKING" in path.read_text("utf-8")
    ]
    assert [name_of(path) for path in hidden] == []


def contracts() -> list[dict[str, Any]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    found: list[dict[str, Any]] = project["tool"]["importlinter"]["contracts"]
    return found


def test_contracts_name_packages() -> None:
    """A new file is guarded on the day it is written. What has no folder stands at a package's root."""
    for contract in contracts():
        for key in ("source_modules", "forbidden_modules", "layers"):
            for module in (one for line in contract.get(key, []) for one in line.split(" | ")):
                package, *below = module.split(".")
                single = len(below) > 1 and not (ROOT / module.replace(".", "/")).is_dir()
                if package in PACKAGES and single and contract["type"] == "forbidden":
                    pytest.fail(f"{contract['name']}: {module} is a module, not a package")


def test_what_loads_no_keras_is_all_but_the_scorer_and_what_stands_above_it() -> None:
    (contract,) = (c for c in contracts() if "keras" in c.get("forbidden_modules", []))
    parts = {path.stem for path in (ROOT / "stream").iterdir() if path.suffix == ".py"}
    parts |= {Path(folder).name for folder in folders("stream") if folder.count("/") == 1}
    guarded = {m.split(".")[1] for m in contract["source_modules"] if m.startswith("stream.")}
    assert guarded == parts - LOADS_KERAS - {"__init__"}
