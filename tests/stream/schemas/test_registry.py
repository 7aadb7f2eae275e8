"""The schema registry: asked once, waited for while it is down, and never taken for what it is not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from stream.campaign.file import EventMapping
from stream.formats.port import WriterSchema
from stream.schemas.registry import SchemaRegistry, registry_of
from stream.schemas.registry_client import RegistryClient, RegistryDown
from tests.stream.schemas.registry_server import RegistryServer


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    server = RegistryServer().start()
    yield server
    server.stop()


def client(server: RegistryServer, auth: str = "", *, serialized: bool = False) -> RegistryClient:
    return RegistryClient(server.url, auth, serialized=serialized)


def test_a_schema_comes_with_what_it_refers_to_behind_it(server: RegistryServer) -> None:
    a = {"name": "a", "subject": "s/a", "version": 1}
    b = {"name": "b", "subject": "b", "version": 2}
    server.by_id[7] = {"schema": "root", "references": [a, b]}
    server.by_subject["s%2Fa", 1] = {"schema": "A", "references": [b]}
    server.by_subject["b", 2] = {"schema": "B"}
    assert client(server).fetch(7) == WriterSchema("AVRO", "root", (("b", "B"), ("a", "A")))
    assert server.asked[0] == "/schemas/ids/7"


def test_protobuf_is_asked_for_in_serialized_form(server: RegistryServer) -> None:
    server.by_id[7] = {"schema": "Cg==", "schemaType": "PROTOBUF"}
    assert client(server, serialized=True).fetch(7) == WriterSchema("PROTOBUF", "Cg==")
    assert server.asked == ["/schemas/ids/7?format=serialized"]


def test_a_registry_of_two_formats_is_asked_for_descriptors_of_protobuf_alone(
    server: RegistryServer,
) -> None:
    server.by_id[7] = {"schema": "Cg==", "schemaType": "PROTOBUF"}
    server.by_id[8] = {"schema": '"string"'}
    mapping = EventMapping(format={"a": "avro", "p": "protobuf"}, schema_registry=server.url)
    registry = registry_of(mapping)
    assert registry is not None
    assert registry.schema(7) == WriterSchema("PROTOBUF", "Cg==")
    assert registry.schema(8) == WriterSchema("AVRO", '"string"')
    assert server.asked == ["/schemas/ids/7", "/schemas/ids/7?format=serialized", "/schemas/ids/8"]


def test_an_id_that_it_does_not_know_is_none(server: RegistryServer) -> None:
    assert client(server).fetch(8) is None


def test_a_schema_is_known_by_its_guid_as_well(server: RegistryServer) -> None:
    guid = "0d5a7bd3-27ad-4d9a-8b8a-9d4f04e3a1c2"
    server.by_guid[guid] = {"schema": '"long"'}
    registry = SchemaRegistry(client(server), server.url)
    assert registry.schema(guid) == registry.schema(guid) == WriterSchema("AVRO", '"long"')
    assert server.asked == [f"/schemas/guids/{guid}"]
    assert client(server).fetch(guid.replace("0", "1")) is None


def test_another_404_is_no_answer_of_a_registry(server: RegistryServer) -> None:
    elsewhere = RegistryClient(f"{server.url}/elsewhere", "", serialized=False)
    with pytest.raises(RegistryDown, match=r"status 404.*events.schema_registry"):
        elsewhere.fetch(7)


def test_user_and_password_are_those_of_the_environment(
    server: RegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.auth = "me:secret"
    server.by_id[7] = {"schema": '"string"'}
    with pytest.raises(RegistryDown, match=r"status 401.*OPPORTUNE_SCHEMA_REGISTRY_AUTH"):
        client(server, "me:wrong").fetch(7)
    monkeypatch.setenv("OPPORTUNE_SCHEMA_REGISTRY_AUTH", "me:secret")
    registry = registry_of(EventMapping(format="avro", schema_registry=server.url))
    assert registry is not None
    assert registry.schema(7) == WriterSchema("AVRO", '"string"')


def test_json_needs_no_registry() -> None:
    assert registry_of(EventMapping()) is None
    assert registry_of(EventMapping(format={"a": "json", "b": "snowplow"})) is None


def test_a_schema_is_asked_for_once(server: RegistryServer) -> None:
    server.by_id[7] = {"schema": "x"}
    registry = SchemaRegistry(client(server), server.url)
    assert registry.schema(7) == registry.schema(7)
    assert len(server.asked) == 1


def test_an_unknown_id_is_asked_for_again_after_a_while(server: RegistryServer) -> None:
    now_s = 0.0
    registry = SchemaRegistry(client(server), server.url, monotonic_s=lambda: now_s)
    assert registry.schema(7) is None
    assert registry.is_fresh(7)
    now_s = 31.0
    assert not registry.is_fresh(7)
    server.by_id[7] = {"schema": "x"}
    registry.load(7)
    assert registry.schema(7) == WriterSchema("AVRO", "x")
    now_s = 1e9
    assert registry.is_fresh(7), "what is known stays known"


def test_a_registry_that_is_down_is_waited_for_and_told_twice(
    server: RegistryServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.by_id[7] = {"schema": "x"}
    server.stop()
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 9:
            server.start()

    with caplog.at_level(logging.INFO, "opportune"):
        registry = SchemaRegistry(client(server), server.url, sleep=sleep)
        assert registry.schema(7) == WriterSchema("AVRO", "x")
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0]
    told: list[Any] = [one.fields for one in caplog.records if hasattr(one, "fields")]
    assert [one["state"] for one in told] == ["waiting", "answers"]


@pytest.mark.parametrize(
    "body", [{"references": [{}]}, {"no": "schema"}, {"schema": "x", "references": 7}]
)
def test_an_answer_that_is_no_schema_is_no_answer(server: RegistryServer, body: Any) -> None:
    server.by_id[7] = body
    with pytest.raises(RegistryDown, match="id 7"):
        client(server).fetch(7)
