"""Asks a schema registry over HTTP, as Confluent's API has it; others speak the same."""

from __future__ import annotations

import base64
import json
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlsplit

from stream.formats.port import SchemaKey, WriterSchema

AUTH_VARIABLE = "OPPORTUNE_SCHEMA_REGISTRY_AUTH"
"""The environment variable with user:password."""

_TIMEOUT_S = 10.0
_BODY_BYTES_MAX = 8 << 20
_REFERENCES_MAX = 500
_UNKNOWN_ID = 40403
_PROTOBUF = "PROTOBUF"
_SHOWN_MAX = 120


class RegistryDown(Exception):
    """The registry does not answer as it should; the message is one sentence. It may later."""


class RegistryClient:
    """Fetches schemas; threads may share it.

    Args:
        url: Where the registry is, http or https.
        auth: user:password, "" for none.
        serialized: Whether descriptors are asked for, as Protobuf needs them.
        is_mixed: Whether they are asked for only where a schema is of Protobuf, in a second question.
    """

    def __init__(self, url: str, auth: str, *, serialized: bool, is_mixed: bool = False) -> None:
        parts = urlsplit(url)
        self._is_secure = parts.scheme == "https"
        self._address = parts.netloc
        self._prefix = parts.path.rstrip("/")
        self._headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}
        if auth:
            self._headers["Authorization"] = f"Basic {base64.b64encode(auth.encode()).decode()}"
        self._format = "format=serialized" if serialized else ""
        self._is_mixed = is_mixed

    def fetch(self, schema_id: SchemaKey) -> WriterSchema | None:
        """A schema with all that it refers to, None when the registry does not know the id or GUID.

        Raises:
            RegistryDown: It did not answer, or something else than it should.
        """
        what = "guid" if isinstance(schema_id, str) else "id"
        path, form = f"/schemas/{what}s/{schema_id}", "" if self._is_mixed else self._format
        found = self._get(path, form, may_lack=True)
        if found is not None and self._is_mixed and found.get("schemaType") == _PROTOBUF:
            form = self._format
            found = self._get(path, form, may_lack=True)
        if found is None:
            return None
        references: dict[tuple[str, Any], tuple[str, str]] = {}
        try:
            self._add_references(found, form, references)
            kind, text = found.get("schemaType", "AVRO"), found["schema"]
        except (AttributeError, KeyError, TypeError) as exc:
            raise RegistryDown(
                f"expected a schema for {what} {schema_id}, got a fault: {exc!r}"
            ) from exc
        return WriterSchema(str(kind), str(text), tuple(references.values()))

    def _add_references(
        self, found: dict[str, Any], form: str, references: dict[tuple[str, Any], tuple[str, str]]
    ) -> None:
        """Adds what a schema refers to, each behind what it refers to itself."""
        for one in found.get("references") or ():
            name, subject, version = one["name"], one["subject"], one["version"]
            if (subject, version) in references:
                continue
            if len(references) >= _REFERENCES_MAX:
                raise RegistryDown(f"expected at most {_REFERENCES_MAX} references, got more")
            path = f"/subjects/{quote(subject, safe='')}/versions/{int(version)}"
            below = self._get(path, "&".join(filter(None, ("deleted=true", form))))
            assert below is not None, "only an id may be lacking"
            self._add_references(below, form, references)
            references[subject, version] = name, str(below["schema"])

    def _get(self, path: str, query: str, *, may_lack: bool = False) -> dict[str, Any] | None:
        """The JSON of an answer."""
        target = f"{self._prefix}{path}" + (f"?{query}" if query else "")
        connect = HTTPSConnection if self._is_secure else HTTPConnection
        connection = connect(self._address, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", target, headers=self._headers)
            answer = connection.getresponse()
            status, body = answer.status, _body(answer)
        except (OSError, HTTPException) as exc:
            raise RegistryDown(f"no answer from {self._address}: {exc!r}") from exc
        finally:
            connection.close()
        said = _json(body)
        if status == 200 and said is not None:
            return said
        if may_lack and status == 404 and said and said.get("error_code") == _UNKNOWN_ID:
            return None
        raise RegistryDown(_wrong(self._address + target, status, body))


def _body(answer: HTTPResponse) -> bytes:
    body = answer.read(_BODY_BYTES_MAX + 1)
    if len(body) > _BODY_BYTES_MAX:
        raise RegistryDown(f"expected at most {_BODY_BYTES_MAX} bytes of a schema, got more")
    return body


def _json(body: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _wrong(where: str, status: int, body: bytes) -> str:
    text = body[:_SHOWN_MAX].decode(errors="replace")
    hint = ""
    if status in (401, 403):
        hint = f". Operator action: set {AUTH_VARIABLE}=user:password to what the registry accepts"
    elif status == 404:
        hint = ". Operator action: is events.schema_registry the address of a schema registry?"
    return f"expected a schema from {where}, got status {status}: {text}{hint}"
