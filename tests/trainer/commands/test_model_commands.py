"""Commands on models: what they show, what they refuse, and that none of them waits for TensorFlow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from models.registry import Registry
from tests.trainer.commands.model_commands_harness import (
    ROOT,
    WORSE,
    Run,
    done,
    publish,
    refused,
    verdict,
)
from trainer.commands.models import models
from trainer.commands.promote import promote

# --- list, show, diff, prune


def test_list_has_a_line_for_each_version_the_newest_first(registry: Registry, run: Run) -> None:
    old = publish(registry, 0)
    new = publish(registry, 1, {"verdict": verdict(None)})
    broken = publish(registry, 2, {"verdict": verdict(None)})
    (Path(registry.url) / "versions" / broken / "report.json").write_bytes(b"{}")
    registry.promote(old)
    registry.promote(new)
    said = done(run(models, "list"))
    lines = [line for line in said.splitlines() if line.startswith("2026")]
    assert [line.split()[0] for line in lines] == [broken, new, old]
    assert "damaged" in lines[0]
    for part in ("champion", "log_loss 0.4100 [0.4000, 0.4200]"):
        assert part in lines[1]
    assert "mlp 4 relu, choice" in said
    assert "previous" in lines[2]
    assert "log_loss 0.4000" in lines[2]
    listed = json.loads(done(run(models, "list", "--json")))
    assert [one["version"] for one in listed] == [broken, new, old]
    assert [one["pointers"] for one in listed] == [[], ["champion"], ["previous"]]
    assert listed[1]["verdict"]["promote"] is True
    assert "report.json: expected the file" in listed[0]["damaged"]


def test_show_tells_everything(registry: Registry, run: Run) -> None:
    report = {"verdict": verdict(None, WORSE), "training": {"optimizer": "adamw"}, "epochs": 7}
    version = publish(registry, 3, report)
    registry.promote(version)
    said = done(run(models, "show", "champion"))
    for part in (
        version,
        "champion",
        "2024-10-07 00:00",
        "mail, nothing",
        "recency",
        "mlp",
        "adamw",
        "log_loss",
        "0.3700",
        "do not promote",
        "better",
        "-0.0200",
        "weights.f32",
        "numpy",
    ):
        assert part in said, part  # fmt: skip
    shown = json.loads(done(run(models, "show", version[:9], "--json")))
    assert shown["report"]["epochs"] == 7
    assert shown["manifest"]["seed"] == 3
    assert shown["pointers"] == ["champion"]
    assert "Not judged" in done(run(models, "show", publish(registry, 4)))


def test_show_checks_every_file(registry: Registry, run: Run) -> None:
    version = publish(registry)
    (Path(registry.url) / "versions" / version / "weights.f32").write_bytes(b"")
    assert "weights.f32: expected" in refused(run(models, "show", version))


def test_names_that_mean_nothing_are_refused_with_what_there_is(
    registry: Registry, run: Run
) -> None:
    assert "expected a published version, got none" in refused(run(models, "show", "latest"))
    version = publish(registry)
    for arguments in (["show", "2025"], ["diff", version, "winner"], ["show", "champion"]):
        assert registry.url in refused(run(models, *arguments))
    assert version in refused(run(promote, "2025"))


def test_diff_says_what_differs(registry: Registry, run: Run) -> None:
    old = publish(registry, 0, {"training": {"learning_rate": 0.001, "epochs": 5}})
    new = publish(
        registry, 2, {"training": {"learning_rate": 0.01, "epochs": 5}, "verdict": verdict(old)},
        features=("count", "tenure", "spend"), mean=(7.0, 0.0, 0.0),
        strategies=("mail", "sms", "nothing"),
    )  # fmt: skip
    found = json.loads(done(run(models, "diff", old, "latest", "--json")))
    assert (found["before"], found["after"]) == (old, new)
    settings = {one["name"]: (one["before"], one["after"]) for one in found["settings"]}
    assert settings == {
        "network.inputs": (2, 3),
        "network.outputs": (2, 3),
        "seed": (0, 2),
        "training.learning_rate": (0.001, 0.01),
    }
    metrics = {one["name"]: (one["before"], one["after"]) for one in found["metrics"]}
    assert metrics == {"log_loss": (0.4, 0.38), "only_0": (1.0, None), "only_2": (None, 1.0)}
    assert found["shifts"] == [{"feature": "count", "shift": 3.0, "ratio": 1.0}]
    assert (found["features_added"], found["features_removed"]) == (
        ["tenure", "spend"],
        ["recency"],
    )
    assert (found["strategies_added"], found["strategies_removed"]) == (["sms"], [])
    assert found["verdicts"][0] == "not judged"
    said = done(run(models, "diff", old, new))
    for part in ("-0.0200", "features added: tenure, spend", "+3.000", "2024-10-06", "0.001"):
        assert part in said, part


def test_prune_keeps_the_newest_and_the_pointers(registry: Registry, run: Run) -> None:
    versions = [publish(registry, age) for age in range(4)]
    registry.promote(versions[0])
    said = done(run(models, "prune", "--keep", "1"))
    assert f"removed {versions[1]}\nremoved {versions[2]}\n2 removed, 2 left" in said
    assert registry.versions() == [versions[0], versions[3]]
    assert run(models, "prune", "--keep", "0").exit_code == 2


# --- which registry


def test_the_registry_comes_from_the_campaign_file(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = publish(registry)
    monkeypatch.chdir(tmp_path)
    assert "there is no opportune.toml here" in refused(CliRunner().invoke(models, ["list"]))
    example = (ROOT / "examples" / "segment" / "opportune.toml").read_text()
    assert 'registry = "registry"' in example
    Path("opportune.toml").write_text(example)
    Path("other.toml").write_text(example.replace('"registry"', '"elsewhere"'))
    wide = {"COLUMNS": "400"}
    assert version in done(CliRunner().invoke(models, ["list"], env=wide))
    there = CliRunner().invoke(models, ["list", "--campaign", "other.toml"], env=wide)
    assert version not in done(there)
    elsewhere = {**wide, "OPPORTUNE_REGISTRY": registry.url}
    asked = CliRunner().invoke(models, ["list", "--campaign", "other.toml"], env=elsewhere)
    assert version in done(asked)


def test_a_store_that_fails_is_an_operators_mistake(
    run: Run, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_self: Registry) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Registry, "versions", fails)
    assert "Permission denied" in refused(run(models, "list"))


def test_no_command_on_models_loads_tensorflow(registry: Registry) -> None:
    publish(registry, 0, {"verdict": verdict(None)})
    code = """
import sys
from trainer.commands.models import models
from trainer.commands.promote import promote
from trainer.commands.rollback import rollback
from trainer.commands.trainer import trainer
promote(["--registry", sys.argv[1]], standalone_mode=False)
models(["list", "--registry", sys.argv[1]], standalone_mode=False)
models(["show", "champion", "--registry", sys.argv[1]], standalone_mode=False)
heavy = {"tensorflow", "keras", "numba", "matplotlib", "pandas", "faust"} & set(sys.modules)
assert not heavy, heavy
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, registry.url], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "champion" in ran.stdout
