"""Workers as processes of the fault tests.

Rules of this file
1. A worker is the real command in a process of its own, with its log in a file; what a test starts
   is ended, whatever happens.
2. Times are deadlines, never expectations: the machine may be busy.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from tests.fork_server import ROOT, ForkedProcess, ForkServer, Program
from tests.stream.worker.faults.fault_harness import Scene

DEADLINE_S = 120.0
_POLL_S = 0.05
_TAIL_BYTES = 4_000


class Worker:
    """A worker as a process. The fixture `start_worker` makes it, and ends it in any case.

    Args:
        server: Forks it.
        scene: What it works on.
        member: Its identity in the group, which a worker with the same takes over at once. Without
            one, the group waits for the session of a killed worker to end.
        patch: Python code that runs in it first: a fault that is built in.
        fresh: Whether it is a new interpreter, which imports everything itself and hashes strings
            in its own way, and not a fork.
        faust: Whether Faust's own command starts it, which is a new interpreter.
    """

    _started = 0

    process: subprocess.Popen[bytes] | ForkedProcess

    def __init__(
        self,
        server: ForkServer,
        scene: Scene,
        member: str = "",
        patch: str = "",
        *,
        fresh: bool = False,
        faust: bool = False,
    ) -> None:
        Worker._started += 1
        self.log = scene.folder / f"worker-{Worker._started}.log"
        self._forgotten_bytes = 0
        registry = str(scene.folder / "registry")
        arguments = [
            "worker", str(scene.file), "--log-format", "json",
            "--bootstrap", scene.bootstrap, "--registry", registry,
        ]  # fmt: skip
        code = f"{patch}\nfrom stream.cli import main\nmain()"
        environment = os.environ | ({"CONSUMER_GROUP_INSTANCE_ID": member} if member else {})
        with self.log.open("ab") as errors, Path(os.devnull).open("wb") as nowhere:
            if faust:
                environment |= {
                    "OPPORTUNE_CAMPAIGN": str(scene.file), "OPPORTUNE_BOOTSTRAP": scene.bootstrap,
                    "OPPORTUNE_REGISTRY": registry, "OPPORTUNE_LOG_FORMAT": "json",
                }  # fmt: skip
                program = ["-m", "faust", "-A", "stream.app", "worker"]
            elif fresh:
                program = [*(["-c", code] if patch else ["-m", "stream"]), *arguments]
            else:
                forked = Program(code, arguments, environment)
                self.process = server.start(forked, stdout=nowhere, stderr=errors)
                return
            self.process = subprocess.Popen(
                [sys.executable, *program], cwd=ROOT, env=environment,
                stdin=subprocess.PIPE, stdout=nowhere, stderr=errors,
            )  # fmt: skip

    def lines(self, evt: str) -> list[dict[str, Any]]:
        """The lines of its log about one kind of event, since the last `resume`."""
        told = self.log.read_bytes()[self._forgotten_bytes :]
        whole = told.rpartition(b"\n")[0]  # the last line may be half written
        found = (json.loads(line) for line in whole.splitlines() if line.startswith(b"{"))
        return [line for line in found if line["evt"] == evt]

    def wait_until(
        self, what: str, holds: Callable[[], Any], deadline_s: float = DEADLINE_S
    ) -> Any:
        """Returns what `holds` gives when it is true; fails when the worker ends before."""
        until_s = time.monotonic() + deadline_s
        while not (found := holds()):
            code = self.process.poll()
            assert code is None, f"{what}: the worker ended with {code}\n{self.tail()}"
            assert time.monotonic() < until_s, f"{what}: not in {deadline_s:g} s\n{self.tail()}"
            time.sleep(_POLL_S)
        return found

    def go(self) -> Self:
        """Lets a worker go on whose patch waits for a line."""
        assert self.process.stdin
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        return self

    def ready(self) -> Self:
        """Returns when it has its partitions."""
        self.wait_until("has partitions", lambda: self.lines("begin"))
        return self

    def partitions(self) -> int:
        """Event partitions that it had when it last said so."""
        lines = self.lines("summary")
        return int(lines[-1]["partitions"]) if lines else 0

    def kill(self) -> None:
        """SIGKILL, as a crash; nothing happens when it has ended."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdin
        self.process.stdin.close()

    def pause(self) -> None:
        """Stops it in its tracks, until `resume`: to the group it looks dead."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on as if nothing had happened; what it said before is forgotten."""
        self._forgotten_bytes = self.log.stat().st_size
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        """The exit code, once it has ended by itself."""
        try:
            return self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker does not end\n{self.tail()}") from None

    def story(self) -> str:
        """What it did: the end of its log without the lines that come every second."""
        lines = self.log.read_text(errors="replace").splitlines()
        told = [line[:500] for line in lines if '"evt":"summary"' not in line]
        return "\n".join([f"{self.log}: exit code {self.process.returncode}", *told[-40:]])

    def tail(self) -> str:
        """The end of its log."""
        return f"{self.log}:\n{self.log.read_bytes()[-_TAIL_BYTES:].decode(errors='replace')}"
