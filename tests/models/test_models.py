"""Bundles: what is written comes back, what was changed is refused."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from models import network
from models.bundle import Bundle, Fit
from models.errors import BundleError
from models.manifest import DataWindow, Manifest, NetworkConfig
from tests.models.models_harness import CREATED, FEATURES, config, fitted, make_bundle
from tests.models.registry_harness import forge


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return make_bundle(fitted(config()), config())


@pytest.fixture
def folder(bundle: Bundle, tmp_path: Path) -> Path:
    bundle.save(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_a_bundle_comes_back_as_it_was(bundle: Bundle, folder: Path) -> None:
    loaded = Bundle.load(folder)
    assert loaded.manifest == bundle.manifest
    assert loaded.normalization.mean.tobytes() == (np.arange(FEATURES) / 3).tobytes()
    assert loaded.normalization.clip == 8.0
    assert list(loaded.weights) == list(bundle.weights)
    model = network.build(loaded.manifest.network)
    model.set_weights(network.arrange(model, loaded.weights))
    assert np.asarray(model(loaded.golden.inputs)).tobytes() == loaded.golden.outputs.tobytes()


def test_the_manifest_is_plain_json_for_people(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["created"] == "2026-11-24T10:45:12Z"
    assert manifest["strategies"] == ["mail", "push", "nothing"]
    assert manifest["metrics"] == {"auc": 0.75}
    assert {"keras", "tensorflow", "numpy", "python"} == set(manifest["libraries"])
    for name, entry in manifest["files"].items():
        data = (folder / name).read_bytes()
        assert entry["bytes"] == len(data)
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()


def test_bundles_of_the_first_release_are_read_and_written_as_they_were(tmp_path: Path) -> None:
    old = Path(__file__).parents[1] / "golden" / "bundle-format-1"
    bundle = Bundle.load(old)
    assert bundle.manifest.version == "20261124T104512Z-d5b2fe62"
    assert bundle.manifest.network == NetworkConfig(
        network="mlp", head="response", inputs=2, outputs=2, hidden=(3,), l2=0.002
    )
    bundle.save(tmp_path / "copy")
    names = sorted(path.name for path in old.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "copy").iterdir())
    for name in names:
        assert (tmp_path / "copy" / name).read_bytes() == (old / name).read_bytes()


def test_no_clip_survives_json(bundle: Bundle) -> None:
    entry = msgspec.structs.replace(bundle.manifest.normalization, clip=None)
    manifest = msgspec.structs.replace(bundle.manifest, normalization=entry)
    again = msgspec.json.decode(msgspec.json.encode(manifest), type=Manifest)
    assert again.normalization.arrays().clip == math.inf


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="with a time zone"):
        Fit(CREATED.replace(tzinfo=None), DataWindow(0, 1), 0)


@pytest.mark.parametrize("name", ["manifest.json", "weights.f32", "golden.f32", "report.json"])
@pytest.mark.parametrize("damage", ["missing", "flipped", "truncated", "longer", "empty"])
def test_any_damage_to_any_file_is_refused(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        flipped = data[:-2] + bytes([data[-2] ^ 1]) + data[-1:]
        damaged = {
            "flipped": flipped,
            "truncated": data[: len(data) // 2],
            "longer": data + b"0",
            "empty": b"",
        }
        path.write_bytes(damaged[damage])
    with pytest.raises(BundleError, match=name.replace(".", r"\.")):
        Bundle.load(folder)


def test_no_more_is_read_than_a_manifest_may_have(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.bundle.MANIFEST_BYTES_MAX", 100)
    with pytest.raises(BundleError, match=r"manifest\.json: expected 100 bytes at most, got more"):
        Bundle.load(folder)


def replaced(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        *parents, last = path.split("/")
        for key in parents:
            manifest = manifest[key]
        manifest[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("contract_digest", "0" * 16, "contract_digest: expected"),
        ("contract/kernel_version", 2, "contract_digest: expected"),
        ("contract/names", ["a"] * FEATURES, "each feature name once"),
        (
            "strategies",
            ["mail", "push", "nothing", "sms"],
            "number of strategies: expected 3, got 4",
        ),
        ("strategies", ["mail", "mail", "push"], "number of different strategies"),
        ("network/outputs", 4, "number of strategies: expected 4, got 3"),
        ("network/inputs", 8, "features in the contract: expected 8, got 7"),
        ("network/hidden", [4096] * 16, "bytes for Network"),
        ("network/builder", "os.system", "matching regex"),
        ("network/builder", "os:system", r"expected \['hidden'\] for network mlp"),
        ("network/dropout", 1.5, "Expected `float` < 1.0"),
        ("normalization/std", [0.0] * FEATURES, "std above 0"),
        ("normalization/mean", [0.0] * 8, "one shape"),
        ("metrics/auc", None, "Expected `float`"),
        ("files/../../etc/passwd", {}, "matching regex"),
        ("files/code.py", {}, "matching regex"),
        ("files", {}, "missing files: expected"),
        ("format", 2, "Invalid enum value 2"),
        ("version", "latest", "matching regex"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    folder: Path, path: str, value: Any, message: str
) -> None:
    change = replaced(path, value)
    if path.startswith("files/"):
        name = path.removeprefix("files/")

        def change(manifest: dict[str, Any]) -> None:
            manifest["files"][name] = manifest["files"]["report.json"]

    forge(folder, change)
    with pytest.raises(BundleError, match=message):
        Bundle.load(folder)


def test_crosses_that_the_weights_do_not_hold_are_refused(folder: Path) -> None:
    crossed = {"network": "dcn", "cross_layers": 8, "cross_rank": 512}
    forge(folder, lambda manifest: manifest["network"].update(crossed))
    least = 4 * (FEATURES * 5 + 2 * 8 * FEATURES * 512 + (5 + FEATURES) * 3)
    with pytest.raises(BundleError, match=f"expected {least} to [0-9]+ bytes for .*dcn"):
        Bundle.load(folder)


def test_a_manifest_edited_by_hand_is_refused(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"auc": 0.75', '"auc": 0.99'))
    with pytest.raises(BundleError, match="the manifest was changed"):
        Bundle.load(folder)


def reweighed(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    forge(folder, lambda m: m["files"][name].update(bytes=len(data), sha256=sha256))


def test_numbers_that_are_not_finite_are_refused(folder: Path) -> None:
    data = bytearray((folder / "weights.f32").read_bytes())
    data[8:12] = np.float32("nan").tobytes()
    reweighed(folder, "weights.f32", bytes(data))
    with pytest.raises(BundleError, match="expected finite numbers"):
        Bundle.load(folder)


def test_arrays_that_do_not_add_up_to_the_file_are_refused(folder: Path) -> None:
    reweighed(folder, "weights.f32", (folder / "weights.f32").read_bytes()[:-4])
    with pytest.raises(BundleError, match="bytes of arrays"):
        Bundle.load(folder)


def test_an_array_name_that_comes_twice_is_refused(folder: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        arrays = manifest["files"]["weights.f32"]["arrays"]
        arrays[0]["name"] = arrays[1]["name"]

    forge(folder, change)
    with pytest.raises(BundleError, match="each array name once"):
        Bundle.load(folder)


def test_a_golden_batch_with_an_output_too_many_is_refused(folder: Path) -> None:
    wide = np.zeros((16, FEATURES + 4), np.float32).tobytes()
    forge(folder, lambda m: m["files"]["golden.f32"]["arrays"][1].update(shape=[16, 4]))
    reweighed(folder, "golden.f32", wide)
    with pytest.raises(BundleError, match=r"got \{'inputs': \(16, 7\), 'outputs': \(16, 4\)\}"):
        Bundle.load(folder)
