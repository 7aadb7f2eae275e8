"""What goes wrong around a training: told before anything is read, and nothing stays on the disk."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from models.registry import Registry
from stream.campaign import file as campaign_file
from tests.trainer.commands.model_commands_harness import ROOT, WORSE, publish, refused, verdict
from trainer.commands import train as command_line
from trainer.commands.options.work import work_folder
from trainer.commands.train import train
from trainer.errors import TrainingError
from trainer.fitting.fit import Fitted
from trainer.gate.gate import Verdict
from trainer.report.facts import Facts
from trainer.report.report import facts_of_training

CAMPAIGN = str(ROOT / "examples" / "segment" / "opportune.toml")
Training = Callable[..., Result]


@pytest.fixture
def folders() -> list[Path]:
    """The work folders of the trainings that began."""
    return []


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: list[Path]) -> Training:
    """Runs the command on a registry; a training that begins uses its folder and says "began"."""

    def begun(
        _campaign: Any, _table: Any, _history: Any, _champion: Any, folder: Path, _seed: int
    ) -> Any:
        folders.append(folder)
        (folder / "events-0-0.records").write_bytes(b"what customers did")
        raise TrainingError("began")

    without_tensorflow = ModuleType("trainer.train")
    without_tensorflow.train = None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "trainer.train", without_tensorflow)
    monkeypatch.setattr(command_line, "_prepare", begun)

    def invoke(*arguments: str, registry: str | Path = tmp_path / "registry") -> Result:
        return CliRunner().invoke(train, [CAMPAIGN, "--registry", str(registry), *arguments])

    return invoke


# --- the registry


def test_a_damaged_champion_is_told_before_anything_is_read(tmp_path: Path, run: Training) -> None:
    registry = Registry(tmp_path / "registry")
    version = publish(registry)
    registry.promote(version)
    assert refused(run()) == "began"
    (tmp_path / "registry" / "versions" / version / "weights.f32").write_bytes(b"")
    for damaged in ("weights.f32: expected", "report.json"):
        said = refused(run())
        assert "expected a champion to compare the new model with, got a damaged one" in said
        assert damaged in said
        assert "opportune rollback" in said
        registry.promote(publish(registry, 1, report={"evaluation": "good"}))


def test_a_bad_pointer_is_told_before_anything_is_read(tmp_path: Path, run: Training) -> None:
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / "champion").write_bytes(b"the best one")
    said = refused(run())
    assert "champion: expected a version name, got 'the best one'" in said
    assert "Put one of the versions into this file" in said


def test_a_registry_that_cannot_be_written_is_told_before_anything_is_read(
    tmp_path: Path, run: Training
) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert "expected a registry that can be used" in refused(run(registry=tmp_path / "file"))
    said = refused(run(registry="/proc/nope"))  # reading finds nothing there; writing fails
    assert said.startswith("/proc/nope: expected a registry that can be used")


def test_a_store_without_its_package_is_told_before_anything_is_read(
    run: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    assert "opportune[s3]" in refused(run(registry="s3://bucket/models"))


def test_a_registry_that_fails_at_the_end_is_an_operators_mistake(
    tmp_path: Path, run: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: Registry, _bundle: object) -> str:
        raise OSError(28, "No space left on device")

    trained = SimpleNamespace(bundle=None, verdict=SimpleNamespace(constant=""))
    monkeypatch.setattr(command_line, "_prepare", lambda *_: (None, None))
    monkeypatch.setattr(command_line, "_train", lambda *_, **__: [trained])
    monkeypatch.setattr(Registry, "publish", full)
    assert "No space left on device" in refused(run())


# --- options


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--seed", "-1"], "-1 is not in the range"),
        (["--seed", str(1 << 32)], "is not in the range"),
        (["--trials", "trials.journal"], "needs --search"),
    ],
)
def test_wrong_options_are_refused(run: Training, arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert says in result.output


def test_seeds_that_are_allowed_can_be_used() -> None:
    import numpy as np

    np.random.seed(command_line.SEED_MAX)  # noqa: NPY002  # what Keras does with it
    with pytest.raises(ValueError, match="between 0 and"):
        np.random.seed(command_line.SEED_MAX + 1)  # noqa: NPY002


# --- the work folder


def test_a_work_folder_is_empty_before_and_after(
    tmp_path: Path, run: Training, folders: list[Path]
) -> None:
    work = tmp_path / "work"
    for _ in range(2):
        assert refused(run("--work", str(work))) == "began"
        assert list(work.iterdir()) == []
    assert [folder.parent for folder in folders] == [work, work]


def test_a_work_folder_that_cannot_be_made_is_refused(tmp_path: Path, run: Training) -> None:
    (tmp_path / "file").write_bytes(b"")
    said = refused(run("--work", str(tmp_path / "file" / "work")))
    assert "expected a folder for what does not fit into memory" in said
    assert "--work" in said


@pytest.mark.parametrize("again", [False, True])
def test_sigterm_leaves_nothing_on_the_disk(tmp_path: Path, again: bool) -> None:
    code = f"""
import os, pathlib, signal, sys, time
from trainer.commands.options.work import work_folder
unlink = os.unlink

def remove(*arguments, **options):
    if {again}:
        signal.raise_signal(signal.SIGTERM)
    unlink(*arguments, **options)

os.unlink = remove
with work_folder(pathlib.Path(sys.argv[1])) as folder:
    (folder / "events-0-0.records").write_bytes(b"what customers did")
    print("began", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "work")], cwd=ROOT, stdout=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout
            assert process.stdout.readline() == "began\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 128 + signal.SIGTERM
        finally:
            process.kill()
    assert list((tmp_path / "work").iterdir()) == []


def test_after_the_work_sigterm_is_what_it_was() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with work_folder():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


# --- the page


def test_the_page_of_a_training_says_what_the_gate_says() -> None:
    """It is written before anybody promotes, and `--promote` may go against the verdict."""
    fitted: Any = Fitted(None, epochs=3, losses=(0.7,), validation_losses=())
    judged = msgspec.convert(verdict(None, WORSE), Verdict)
    facts = facts_of_training(Facts(), campaign_file.load(Path(CAMPAIGN)), fitted, None, judged)
    assert facts.passed is False
    assert [check.passed for check in facts.checks].count(False) == 1
