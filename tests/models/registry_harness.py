"""Small bundles, registries on both kinds of store, and crashes at an operation of the store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pytest

from models.bundle import Bundle, Fit, Golden
from models.contract import FeatureContract, Normalization
from models.manifest import MANIFEST, DataWindow, Manifest, NetworkConfig, version_of
from models.registry import Registry
from models.store import Store

START = datetime(2026, 11, 24, 10, 45, 12, tzinfo=UTC)


def make_bundle(age: int = 0, bias: float = 0.0) -> Bundle:
    """A bundle that no network has seen: the registry does not look at the numbers."""
    return Bundle.create(
        contract=FeatureContract(("recency", "count"), "[]"),
        normalization=Normalization.identity(2),
        strategies=("mail", "nothing"),
        network=NetworkConfig(network="linear", head="choice", inputs=2, outputs=2),
        weights={
            "choice/kernel": np.eye(2, dtype=np.float32),
            "choice/bias": np.full(2, bias, np.float32),
        },
        golden=Golden(np.zeros((3, 2), np.float32), np.full((3, 2), 0.5, np.float32)),
        fit=Fit(
            START + timedelta(hours=age), DataWindow(0, 1), seed=0, reports={"report.md": b"#"}
        ),
    )


def signed(manifest: dict[str, Any]) -> bytes:
    """JSON of a manifest whose version is the one of its content, if it is a manifest at all."""
    with suppress(msgspec.ValidationError, TypeError):  # what the reader has to find
        manifest["version"] = version_of(msgspec.convert(manifest, Manifest))
    return json.dumps(manifest).encode()


def forge(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes a manifest as someone would who knows how its version is made."""
    manifest = json.loads((folder / MANIFEST).read_bytes())
    change(manifest)
    (folder / MANIFEST).write_bytes(signed(manifest))


def new_registry(kind: str, folder: Path) -> Registry:
    """An empty registry, "local" or on an "object store"."""
    if kind == "local":
        return Registry(folder / "registry")
    return Registry(f"memory://{folder.name}/registry")


def pointers(registry: Registry) -> tuple[str | None, str | None]:
    """Champion and previous."""
    return registry.pointer("champion"), registry.pointer("previous")


class Crash(BaseException):
    """The process ends here."""


def crash(*_: object, **__: object) -> None:
    raise Crash


Moment = Literal["before", "within", "after"]


@contextmanager
def crashing(
    monkeypatch: pytest.MonkeyPatch, step: int, moment: Moment = "before"
) -> Iterator[None]:
    """Dies before the operation number `step` that changes the store, right after it, or within.

    Within, a file on a local path has been written and has not got its name: it stays where it is.
    """
    done = 0

    def dying(original: Callable[..., None]) -> Callable[..., None]:
        def operation(self: Store, *args: Any) -> None:
            nonlocal done
            done += 1
            if done == step + 1 and moment == "before":
                raise Crash
            with pytest.MonkeyPatch.context() as inner:
                if done == step + 1 and moment == "within":
                    inner.setattr(Path, "replace", crash)
                    inner.setattr(Path, "unlink", lambda *_, **__: None)
                original(self, *args)
            if done == step + 1:
                raise Crash

        return operation

    with monkeypatch.context() as patch:
        for name in ("write", "create", "remove", "remove_folder"):
            patch.setattr(Store, name, dying(getattr(Store, name)))
        yield
