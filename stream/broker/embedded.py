"""The embedded broker as a process: started, waited for, killed, started again on the same data.

Rules of this file
1. When `start` returns, the broker answers; when it raises, nothing of it is left running.
2. The broker never outlives the process that started it (`stream.broker.guard`).
3. Only this machine can reach it: it listens on 127.0.0.1.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from stream.broker.errors import BrokerError
from stream.broker.install import KafkaInstallation, installed_kafka, no_java
from stream.broker.ports import HOST, answers, free_port
from stream.broker.settings import (
    LOG4J,
    LOG4J_FILE,
    SERVER_FILE,
    STORAGE,
    format_storage,
    server_properties,
)

LOG_FILE = "broker.log"
"""The log of Kafka and of Java, in the data folder."""

_GUARD = Path(__file__).with_name("guard.py")
_POLL_S = 0.02
_LOG_TAIL_LINES = 20


class EmbeddedKafka:
    """One Kafka broker, as a child process.

    Args:
        data_dir: Folder of its topics, settings and log; one with data of an earlier broker is
            taken up again. None takes a temporary folder, removed at `stop`.
        port: TCP port for clients; 0 takes a free one, which `restart` keeps.
        heap_mib: Largest Java heap, MiB.
        jvm_flags: Further options of Java. `-XX:TieredStopAtLevel=1` halves the work of a start
            and costs throughput afterwards: right for tests.
        settings: Settings of Kafka, by name, that win over those of `stream.broker.settings`.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        port: int = 0,
        heap_mib: int = 512,
        jvm_flags: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port
        self._data_dir = None if data_dir is None else data_dir.absolute()
        self._temporary_dir: Path | None = None
        self._java_options = [f"-Xmx{heap_mib}m", "-XX:+ExitOnOutOfMemoryError", *jvm_flags]
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._log_start_bytes = 0

    @property
    def bootstrap(self) -> str:
        """Address for clients, `127.0.0.1:PORT`; known from the first `start` on."""
        if self.port == 0:
            raise BrokerError("The broker has no address before it was started.")
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the broker."""
        return self._running().pid

    @property
    def data_dir(self) -> Path:
        """Folder of the topics, the settings and the log."""
        folder = self._data_dir or self._temporary_dir
        if folder is None:
            raise BrokerError("The broker has no temporary data folder before it was started.")
        return folder

    def start(self, timeout_s: float = 60) -> None:
        """Starts the broker and returns when it answers on its client port.

        Args:
            timeout_s: How long the broker may take to answer; a first download is not counted.

        Raises:
            BrokerError: It runs already, its port is taken, another broker has its data, it could
                not be downloaded, or it did not come up.
        """
        if self._process is not None and self._process.poll() is None:
            raise BrokerError(f"The broker runs already, on {self.bootstrap}.")
        self.kill()  # what is left of one that ended by itself
        kafka = installed_kafka()
        self.port = free_port(self.port)
        try:
            with self._locked_log() as log:
                self._prepare(kafka)
                self._launch(kafka, log)
            self._await_answer(timeout_s)
        except BaseException:
            self.kill()
            self._remove_temporary_dir()
            raise

    def wait(self) -> None:
        """Returns never: raises when the broker ends by itself.

        Raises:
            BrokerError: The broker ended, with the last lines of its log.
        """
        code = self._running().wait()
        raise self._failure(f"ended by itself with exit code {code}")

    def kill(self) -> None:
        """Kills the broker as a crash would (SIGKILL); its data stays for `restart`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._guard is not None:
            self._guard.kill()
            self._guard.wait()
            self._guard = None

    def stop(self, timeout_s: float = 20) -> None:
        """Stops the broker cleanly, by force after `timeout_s`, and removes temporary data."""
        self._terminate(timeout_s)
        self._remove_temporary_dir()

    def restart(self) -> None:
        """Starts the broker again on the same port and data; stops it first if it runs."""
        self._terminate(timeout_s=20)
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise BrokerError("The broker does not run.")
        return self._process

    def _locked_log(self) -> BinaryIO:
        """Opens the log under a lock that is the broker's as long as it writes there.

        Kafka's own lock comes too late: before it takes it, a second broker has written to the
        metadata of the first.
        """
        if self._data_dir is None and self._temporary_dir is None:
            self._temporary_dir = Path(tempfile.mkdtemp(prefix="opportune-kafka-"))
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            log = (self.data_dir / LOG_FILE).open("ab")
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            log.close()
            raise BrokerError(
                f"The data folder {self.data_dir} is in use by another broker. Stop that one, or "
                "give this one another folder."
            ) from error
        self._log_start_bytes = log.tell()
        return log

    def _prepare(self, kafka: KafkaInstallation) -> None:
        """Fills the data folder with what the broker reads at its start."""
        text = server_properties(self.port, free_port(0), self._settings)
        try:
            format_storage(self.data_dir / STORAGE, kafka.bootstrap_checkpoint)
            (self.data_dir / SERVER_FILE).write_text(text, encoding="utf-8")
            (self.data_dir / LOG4J_FILE).write_text(LOG4J, encoding="utf-8")
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> BrokerError:
        return BrokerError(
            f"The data folder {self.data_dir} cannot be written: {error}. Give the broker a folder "
            "that belongs to you, on a disk with space."
        )

    def _launch(self, kafka: KafkaInstallation, log: BinaryIO) -> None:
        options = [*self._java_options, f"-Dlog4j2.configurationFile={LOG4J_FILE}"]
        if kafka.start_cache.exists() and not any("AOTCacheOutput" in option for option in options):
            options.append(f"-XX:AOTCache={kafka.start_cache}")
        program = ["-cp", kafka.class_path, "kafka.Kafka", SERVER_FILE]
        try:
            # In a session of its own Ctrl-C does not reach it: its parent decides when it ends.
            self._process = subprocess.Popen(
                [str(kafka.java), *options, *program],
                cwd=self.data_dir,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        except OSError as error:
            raise no_java(error) from error
        to_watch = [str(os.getpid()), str(self._process.pid)]
        to_remove = [] if self._temporary_dir is None else [str(self._temporary_dir)]
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_GUARD), *to_watch, *to_remove],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _await_answer(self, timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        process = self._running()
        while not answers(self.port):
            if process.poll() is not None:
                raise self._failure(f"ended at its start with exit code {process.returncode}")
            if time.monotonic() > deadline_s:
                raise self._failure(f"did not answer on {self.bootstrap} within {timeout_s:g} s")
            time.sleep(_POLL_S)

    def _failure(self, what: str) -> BrokerError:
        """Returns the error of a broker that ended, with what it said last."""
        file = self.data_dir / LOG_FILE
        text = file.read_bytes()[self._log_start_bytes :].decode("utf-8", errors="replace")
        tail = "\n".join(text.splitlines()[-_LOG_TAIL_LINES:])
        whole = "" if self._data_dir is None else f" (the whole is in {file})"
        return BrokerError(f"The broker {what}. The last lines of its log{whole}:\n{tail}")

    def _terminate(self, timeout_s: float) -> None:
        try:
            if self._process is not None:
                self._process.terminate()
                self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pass  # killed next; Kafka recovers its data at the next start
        finally:
            self.kill()

    def _remove_temporary_dir(self) -> None:
        if self._temporary_dir is not None:
            shutil.rmtree(self._temporary_dir)
            self._temporary_dir = None
