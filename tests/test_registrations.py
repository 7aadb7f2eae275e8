"""Everything that is added by a row of a table is complete: built, documented, named in words."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from models.manifest import NetworkConfig
from models.network import _HEADS
from models.network_kinds import BUILT, KINDS, SETTINGS
from stream.campaign.file import DecisionSpec, FeatureSpec, parse
from stream.campaign.operator_table import OPERATORS, Transform
from stream.campaign.training import LOSSES, GateSpec, ModelSpec, SearchSpec, TrainingSpec
from stream.decisions.encoder import CONTENT_TYPES
from stream.errors import CampaignError
from stream.events.present import RejectCode
from stream.features.expansion import expand
from stream.features.plan import TRANSFORMS
from tests.models.test_networks import TRUNKS
from tests.stream.decisions.test_decisions import FORMS, GOLDEN, SCHEMAS
from tests.stream.events.test_events import BAD
from tests.stream.features.features_harness import CAMPAIGN
from tests.trainer.fitting.test_losses import BY_HAND
from trainer.evaluation.metrics import METRICS, UNDIRECTED
from trainer.fitting.losses import _LOG_LIKELIHOODS, Kind
from trainer.report.wording import METRIC_WORDS

DOCS = Path(__file__).parents[1] / "docs"


def page(file: str) -> str:
    return (DOCS / file).read_text("utf-8")


def documented(name: str, file: str) -> bool:
    return f"`{name}`" in page(file)


def named(section: Any, field: str) -> set[str]:
    """The names that a field may have."""
    return set(get_args(get_type_hints(section)[field]))


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
        assert name in {trunk.get("network", "mlp") for trunk in TRUNKS}, "compute it by hand, too"


def test_a_head_is_built_fitted_and_documented() -> None:
    assert set(_HEADS) == set(_LOG_LIKELIHOODS) == named(ModelSpec, "head")
    assert named(NetworkConfig, "head") == named(ModelSpec, "head")
    for name in _HEADS:
        assert f"| `{name}` |" in page("networks.md")


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_a_loss(name: str) -> None:
    assert isinstance(pkgutil.resolve_name(LOSSES[name]), Kind)
    assert documented(name, "networks.md")
    assert name in SearchSpec().losses
    assert msgspec.convert({"loss": name}, TrainingSpec).loss == name
    assert name in BY_HAND, "compute it by hand, too"


def test_a_metric_is_documented_has_words_and_those_of_the_gate_a_direction() -> None:
    assert set(METRIC_WORDS) == set(METRICS)
    assert named(GateSpec, "metric") <= set(METRICS) - UNDIRECTED
    for name in METRICS:
        assert documented(name, "training.md"), name


@pytest.mark.parametrize("name", OPERATORS)
def test_a_feature_operator_is_documented_and_says_what_it_cannot_do_without(name: str) -> None:
    assert f"| `{name}` |" in page("features.md")
    assert name in {spec.op for spec in parse(CAMPAIGN).features}, "give it to the slow twin, too"
    assert OPERATORS[name].needs | OPERATORS[name].may <= set(FeatureSpec.__struct_fields__)
    bare = msgspec.convert({"op": name}, FeatureSpec)
    if OPERATORS[name].needs:
        with pytest.raises(CampaignError, match=f"{name} needs it"):
            expand((bare,))
    else:
        (operator,) = expand((bare,))
        assert len(operator.transforms) == len(operator.names)


@pytest.mark.parametrize("name", get_args(Transform))
def test_a_transform_is_computed_and_documented(name: Any) -> None:
    assert TRANSFORMS.keys() == set(get_args(Transform))
    assert documented(name, "features.md")


def test_a_form_of_the_decisions_has_a_type_and_a_schema_that_golden_bytes_meet() -> None:
    forms = named(DecisionSpec, "format")
    assert forms == set(CONTENT_TYPES) == set(FORMS) == set(SCHEMAS)
    for name in forms:
        assert f"`{name}`" in page("decisions.md")
        assert (GOLDEN / f"decision.{name}.json").exists()


def test_a_reason_to_refuse_a_record_is_documented_and_has_an_example() -> None:
    codes = set(get_args(RejectCode))
    table = re.findall(r"^\| `(\w+)` \| [A-Z]", page("events.md"), re.MULTILINE)
    assert sorted(codes) == sorted(table)
    of_formats = {"not_framed", "unknown_schema", "bad_avro", "bad_protobuf", "bad_snowplow"}
    of_batches = {"too_many_events"}
    left = codes - of_formats - of_batches - {"missing_timestamp"}
    assert set(BAD) == left, "these have tests of their own"
