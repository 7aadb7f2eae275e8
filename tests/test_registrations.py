"""Everything that is added by a row of a table is complete: built, documented, named in words."""

from __future__ import annotations

import pkgutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from models.kinds import BUILT, KINDS, SETTINGS
from models.manifest import NetworkConfig
from stream.campaign.feature_ops import OPERATORS
from stream.campaign.file import FeatureSpec
from stream.campaign.training import LOSSES, GateSpec, ModelSpec, SearchSpec, TrainingSpec
from stream.errors import CampaignError
from stream.features.operators import expand
from trainer.evaluation.metrics import METRICS, UNDIRECTED
from trainer.fitting.losses import Kind
from trainer.report.wording import METRIC_WORDS

DOCS = Path(__file__).parents[1] / "docs"


def documented(name: str, file: str) -> bool:
    return f"`{name}`" in (DOCS / file).read_text()


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_of_network_is_built_from_settings_that_the_campaign_file_has(name: str) -> None:
    kind = KINDS[name]
    assert documented(name, "networks.md")
    assert kind.uses <= SETTINGS <= set(ModelSpec.__struct_fields__)
    assert set(NetworkConfig.__struct_fields__) >= SETTINGS
    assert msgspec.convert({"network": name}, ModelSpec).network == name
    assert (name in SearchSpec().networks) == (name in BUILT)
    if name in BUILT:
        assert callable(pkgutil.resolve_name(kind.build))


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_a_loss(name: str) -> None:
    assert isinstance(pkgutil.resolve_name(LOSSES[name]), Kind)
    assert documented(name, "networks.md")
    assert name in SearchSpec().losses
    assert msgspec.convert({"loss": name}, TrainingSpec).loss == name


def test_a_metric_has_words_and_those_of_the_gate_a_direction() -> None:
    assert set(METRIC_WORDS) == set(METRICS)
    gate: Any = msgspec.inspect.type_info(GateSpec)
    fields = {field.name: field.type for field in gate.fields}
    assert set(fields["metric"].values) <= set(METRICS) - UNDIRECTED


@pytest.mark.parametrize("name", OPERATORS)
def test_a_feature_operator_is_documented_and_says_what_it_cannot_do_without(name: str) -> None:
    assert documented(name, "features.md")
    assert OPERATORS[name].needs | OPERATORS[name].may <= set(FeatureSpec.__struct_fields__)
    bare = msgspec.convert({"op": name}, FeatureSpec)
    if OPERATORS[name].needs:
        with pytest.raises(CampaignError, match=f"{name} needs it"):
            expand((bare,))
    else:
        (operator,) = expand((bare,))
        assert len(operator.transforms) == len(operator.names)
