"""`faust -A stream.app worker` is the worker of `opportune worker`: its lines, decisions and exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner
from faust.cli.faust import cli

from stream.worker.commands import faust_command
from stream.worker.faust_app.opportune_app import OpportuneApp
from tests.conftest import MakeScene
from tests.fork_server import ROOT
from tests.stream.worker.faults.fault_load import Events, send
from tests.stream.worker.faults.fault_verifier import Verifier
from tests.stream.worker.faults.fault_worker import Worker


@pytest.mark.kafka
@pytest.mark.slow
def test_it_decides_and_says_so(
    make_scene: MakeScene, start_worker: Callable[..., Worker], seed: int
) -> None:
    scene = make_scene(form="cloudevents")
    send(scene.bootstrap, [(scene.topics[0], Events(scene.topics[0], 50, seed))], 4, 400)
    worker = start_worker(scene, faust=True)
    worker.wait_until("catches up", lambda: worker.lines("begin") and scene.lag() == 0)
    worker.wait_until("sums up", lambda: worker.lines("summary"))
    assert worker.stop() == 0, worker.tail()
    assert [len(worker.lines(evt)) for evt in ("start", "begin", "stop")] == [1, 4, 1]
    (stopped,) = worker.lines("stop")
    assert stopped["events"] == 400
    assert stopped["uncommitted_chunks"] == 0
    verdict = Verifier(scene, [scene.bundle(seed)]).verify()
    assert verdict.decisions == stopped["decisions"] > 0


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("OPPORTUNE_CAMPAIGN", "Error: nonsense: expected a campaign file, No such file"),
        ("OPPORTUNE_BOOTSTRAP", "expected host:port, or several with commas, got 'nonsense'"),
        ("OPPORTUNE_LOG_FORMAT", "'nonsense' is not one of 'text', 'json'"),
    ],
)
def test_what_has_to_be_changed_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, setting: str, says: str
) -> None:
    monkeypatch.setenv("OPPORTUNE_CAMPAIGN", str(ROOT / "examples/segment/opportune.toml"))
    monkeypatch.setenv(setting, "nonsense")
    result = CliRunner().invoke(cli, ["-A", "stream.app", "worker"])
    assert result.exit_code == 2, result.output
    assert says in result.output
    assert "Traceback" not in result.output


@pytest.mark.slow
def test_a_worker_that_is_refused_ends_with_2_and_no_traceback() -> None:
    environment = {
        "OPPORTUNE_CAMPAIGN": str(ROOT / "examples/segment/opportune.toml"),
        "OPPORTUNE_BOOTSTRAP": "127.0.0.1:9",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "faust", "-A", "stream.app", "worker"],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 2, ended.stderr
    assert "evt=refused" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "opens"),
    [
        ([], False),
        (["--loglevel", "info"], False),
        (["--with-web"], True),
        (["--web-port", "7070"], True),
        (["-b", "0.0.0.0"], True),
        (["--without-web"], False),
        (["--without-web", "-p", "7070"], False),
    ],
)
def test_a_port_is_opened_only_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], *, opens: bool
) -> None:
    started: list[OpportuneApp] = []

    def execute(worker: Any) -> None:
        started.append(worker.app)

    monkeypatch.setenv("OPPORTUNE_CAMPAIGN", str(ROOT / "examples/segment/opportune.toml"))
    monkeypatch.setattr(faust_command._Worker, "execute_from_commandline", execute)
    module = types.ModuleType("fresh_app")  # Faust's settings are for one command line
    monkeypatch.setattr(module, "app", faust_command.app_of_environment(), raising=False)
    monkeypatch.setitem(sys.modules, "fresh_app", module)
    result = CliRunner().invoke(cli, ["-A", "fresh_app", "worker", *arguments])
    print(result.output, result.exception)
    (app,) = started
    assert app.conf.web_enabled is opens
    # And then it says that it lives, and nothing else.
    assert app.web.blueprints._enabled == [("", "faust.web.apps.production_index:blueprint")]


def test_pages_that_show_customers_stay_closed_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPPORTUNE_CAMPAIGN", str(ROOT / "examples/segment/opportune.toml"))
    for page in faust_command._PAGES:
        monkeypatch.setenv(f"APP_WEB_{page.upper()}_ENABLED", "1")
    app = faust_command.app_of_environment()
    assert app.web.blueprints._enabled == [("", "faust.web.apps.production_index:blueprint")]
