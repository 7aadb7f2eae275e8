"""Feature contracts and normalization, and what needs no TensorFlow."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.contract import FeatureContract, Normalization


def test_the_digest_stands_for_names_definition_and_kernel() -> None:
    contracts = [
        FeatureContract(("a", "b"), "{}"),
        FeatureContract(("b", "a"), "{}"),
        FeatureContract(("ab",), "{}"),
        FeatureContract(("a", "b"), "{ }"),
        FeatureContract(("a", "b"), "{}", kernel_version=2),
    ]
    assert len({contract.digest for contract in contracts}) == len(contracts)
    expected = hashlib.sha256(b'[["a","b"],"{}",1]').hexdigest()[:16]
    assert contracts[0].digest == FeatureContract(("a", "b"), "{}").digest == expected


@pytest.mark.parametrize(
    ("names", "message"), [((), "at least one"), (("a", "b", "a"), "more of a")]
)
def test_a_contract_needs_names_that_differ(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FeatureContract(names, "{}")


@pytest.mark.parametrize(
    ("mean", "std", "clip", "message"),
    [
        ([0.0], [1.0, 1.0], 8.0, "one shape"),
        ([[0.0]], [[1.0]], 8.0, "one shape"),
        ([math.nan], [1.0], 8.0, "finite"),
        ([0.0], [math.inf], 8.0, "finite"),
        ([0.0], [0.0], 8.0, "std above 0"),
        ([0.0], [1.0], 0.0, "clip above 0"),
        ([0.0], [1.0], math.nan, "clip above 0"),
    ],
)
def test_bad_normalization_is_refused(mean: Any, std: Any, clip: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Normalization(np.array(mean), np.array(std), clip)


def test_normalization_is_a_read_only_copy() -> None:
    mean = np.zeros(2)
    normalization = Normalization(mean, np.ones(2), math.inf)
    mean[:] = 9
    assert normalization.mean.tolist() == [0, 0]
    assert not normalization.mean.flags.writeable


def test_manifests_and_pointers_need_no_tensorflow() -> None:
    code = """
import sys
import models.bundle, models.contract, models.registry
heavy = {"tensorflow", "keras"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.slow
def test_keras_comes_without_what_it_does_not_need_and_that_can_be_imported_afterwards() -> None:
    code = """
import sys
import models.backend
heavy = {"matplotlib", "pandas", "pyarrow", "sklearn"} & set(sys.modules)
assert not heavy, heavy
import matplotlib
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
