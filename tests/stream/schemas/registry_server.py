"""A schema registry over real HTTP, as far as Confluent's API is asked."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class RegistryServer:
    """Serves schemas by id and by subject; may be stopped, and started again on the same port.

    Attributes:
        by_id: The body of an answer by schema id.
        by_guid: The same by GUID.
        by_subject: The same by (subject, version).
        auth: What is asked for as user:password, "" for nothing.
        asked: The targets of all requests.
    """

    def __init__(self) -> None:
        self.by_id: dict[int, dict[str, Any]] = {}
        self.by_guid: dict[str, dict[str, Any]] = {}
        self.by_subject: dict[tuple[str, int], dict[str, Any]] = {}
        self.auth = ""
        self.asked: list[str] = []
        self._server: ThreadingHTTPServer | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> RegistryServer:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # the name that the library calls
                registry.asked.append(self.path)
                status, body = registry.answer(self.path, self.headers.get("Authorization"))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing on stderr."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, target: str, authorization: str | None) -> tuple[int, bytes]:
        expected = f"Basic {base64.b64encode(self.auth.encode()).decode()}"
        if self.auth and authorization != expected:
            return 401, b"who are you?"
        parts = target.partition("?")[0].strip("/").split("/")
        found: dict[str, Any] | None = None
        if parts[:2] == ["schemas", "ids"]:
            found = self.by_id.get(int(parts[2]))
        elif parts[:2] == ["schemas", "guids"]:
            found = self.by_guid.get(parts[2])
        elif parts[0] == "subjects":
            found = self.by_subject.get((parts[1], int(parts[3])))
        else:
            return 404, b"<html>nothing here</html>"
        if found is None:
            return 404, json.dumps({"error_code": 40403, "message": "Schema not found"}).encode()
        return 200, json.dumps(found).encode()
