"""`opportune check` refuses what a worker would refuse, and doubts what looks mistyped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from models import network
from models.contract import FeatureContract
from models.manifest import NetworkConfig
from models.registry import Registry
from stream.campaign.file import load, parse
from stream.cli import main
from stream.features.plan import compile_features
from stream.policy.stages import STAGES
from stream.worker.commands.doubts import doubts
from tests.bundles import bundle_of

ROOT = Path(__file__).parents[4]
EXAMPLE = (ROOT / "examples" / "segment" / "opportune.toml").read_text()
CAMPAIGN = """
app = "shop"
[topics]
events = ["customer-events"]
[training]
treatment = "{treatment}"
outcome = "{outcome}"
[decisions]
on = [{on}]
[[features]]
op = "count"
events = ["Order Completed", "Checkout Step 1", "Checkout Step 2", "Product Viewed"]
half_lives = ["1d"]
[[features]]
op = "window_count"
window = "7d"
[[strategies]]
id = "mail"
"""
SHOP = CAMPAIGN.format(on='"*"', outcome="Order Completed", treatment="Strategy Sent")


def doubted(
    on: str = '"*"', outcome: str = "Order Completed", treatment: str = "Strategy Sent"
) -> list[str]:
    return doubts(parse(CAMPAIGN.format(on=on, outcome=outcome, treatment=treatment)))


def check(text: str, folder: Path) -> Result:
    file = folder / "shop.toml"
    file.write_text(text)
    return CliRunner().invoke(main, ["check", str(file)], env={"COLUMNS": "300"})


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("properties = { discount = inf }", "strategies[0].properties: expected finite numbers"),
        ('eligible = ["orders >= 1"]', "expected the name of a feature"),
        ('[[strategies]]\nid = "mail"', "at strategies[1].id: expected each id once"),
        ('[events]\ntimestamp_earliest = "nonsense"',
         "events.timestamp_earliest: expected an ISO 8601 date or time"),
    ],
)  # fmt: skip
def test_what_a_worker_would_not_start_with_is_refused(
    tmp_path: Path, more: str, says: str
) -> None:
    result = check(SHOP + more, tmp_path)
    assert result.exit_code == 2, result.output
    assert says in result.output
    assert "is valid" not in result.output


def test_an_email_to_an_anonymous_id_is_doubted() -> None:
    mail = SHOP.replace('id = "mail"', 'id = "mail"\nchannel = "Email"')
    (doubt,) = doubts(parse(mail))
    assert doubt == (
        'strategies[0].eligible: "mail" goes by Email, and an event without userId is decided for '
        'its anonymousId; is "identified" missing?'
    )
    assert doubts(parse(mail + 'eligible = ["identified"]')) == []
    assert doubts(parse('events = { customer_id = ["userId"] }' + mail)) == []


def test_a_doubt_is_a_warning(tmp_path: Path) -> None:
    changed = EXAMPLE.replace(
        'on = ["Product Added", "Order Completed"]', 'on = ["Order Complted"]'
    )
    result = check(changed, tmp_path)
    assert result.exit_code == 0, result.output
    assert (
        "warning: decisions.on[0]: no feature, outcome or treatment names the event type "
        '"Order Complted"; is "Order Completed" meant?'
    ) in result.output
    assert "warning:" not in check(EXAMPLE, tmp_path).output


def test_types_that_are_named_elsewhere_are_not_doubted() -> None:
    assert doubted() == []
    assert doubted(on='"Order Completed", "Strategy Sent", "Checkout Step 2"') == []


def test_a_type_that_only_asks_for_decisions_is_doubted() -> None:
    (doubt,) = doubted(on='"*", "Basket"')
    assert (
        doubt == 'decisions.on[1]: no feature, outcome or treatment names the event type "Basket"'
    )


@pytest.mark.parametrize("outcome", ["Order Complted", "order_completed", "Orders Completed"])
def test_types_that_look_alike_are_doubted(outcome: str) -> None:
    (doubt,) = doubted(outcome=outcome)
    assert doubt == (
        f'training.outcome: the event type "{outcome}" looks like "Order Completed" of '
        "features[0].events[0]; are they the same?"
    )


@pytest.mark.parametrize("treatment", ["Order Cancelled", "Product List Viewed", "Viewed"])
def test_types_that_are_only_similar_are_not_doubted(treatment: str) -> None:
    assert doubted(treatment=treatment) == []


@pytest.mark.parametrize(
    "path", ["examples/*/opportune.toml", "trainer/demo/opportune.toml"], ids=str
)
def test_the_examples_are_not_doubted(path: str) -> None:
    for file in ROOT.glob(path):
        assert doubts(load(file)) == []


def test_check_says_what_the_champion_does_not_know(tmp_path: Path, registry: Registry) -> None:
    file = tmp_path / "shop.toml"
    file.write_text(SHOP + '[[strategies]]\nid = "new"\n')

    def told() -> str:
        result = CliRunner().invoke(
            main, ["check", str(file), "--registry", registry.url], env={"COLUMNS": "400"}
        )
        assert result.exit_code == 0, result.output
        return result.output

    assert f"warning: no champion in {registry.url}: workers wait for one" in told()
    contract = compile_features(load(file)).contract
    version = champion(registry, contract, ("mail", "old", "nothing"), untrained=("mail",))
    said = told()
    assert (
        f"warning: champion {version}: new: never chosen by the model, since it does not know"
        in said
    )
    assert (
        f"warning: champion {version}: mail: never chosen by the model, since it has seen too few"
        in said
    )
    assert f"warning: champion {version}: old: known to the model and not in" in said
    champion(registry, contract, ("sms", "old", "nothing"))
    assert "it has none of the strategies: workers refuse it" in told()
    champion(registry, FeatureContract(contract.names, "[]"), ("mail", "new", "nothing"))
    assert "it is for other features: workers refuse it" in told()
    version = champion(registry, contract, ("new", "mail", "nothing"))
    assert f"Champion {version} knows every strategy." in told()


def champion(
    registry: Registry, contract: FeatureContract, strategies: tuple[str, ...], **parts: object
) -> str:
    width = len(contract.names)
    config = NetworkConfig(network="linear", head="response", inputs=width, outputs=3, hidden=())
    inputs = np.zeros((2, width), np.float32)
    version = registry.publish(
        bundle_of(network.build(config, 1), config, contract, strategies, inputs, **parts)
    )
    registry.promote(version)
    return version


def test_check_shows_who_needs_which_consent_and_what_closes_a_channel(tmp_path: Path) -> None:
    file = tmp_path / "opportune.toml"
    file.write_text(
        EXAMPLE
        + '\n[[purposes]]\nid = "letters"\npaths = ["traits.letters"]\nopt_out = ["traits.no_letters"]\n'
        + '\n[[suppressions]]\nevents = ["Email Bounced"]\nchannel = "email"\nfor = "30d"\n'
        + 'where = { "properties.kind" = ["hard"] }\nlifted_by = ["Email Resubscribed"]\n',
        "utf-8",
    )
    result = CliRunner().invoke(main, ["check", str(file)])
    assert result.exit_code == 0, result.output
    assert "Consent, opt_out" in result.output
    text = " ".join(result.output.split())
    assert "Channel email is closed by Email Bounced with properties.kind in hard for 30d" in text
    assert "until Email Resubscribed." in text
    assert "traits.no_letters" in result.output


def test_types_that_close_channels_are_looked_at_for_slips() -> None:
    text = SHOP + '[[suppressions]]\nevents = ["Order Complete"]\nchannel = "*"\n'
    (doubt,) = doubts(parse(text))
    assert doubt.startswith('suppressions[0].events[0]: the event type "Order Complete" looks like')


CHANCE = """
[policy]
without_model = "explore"
fallback = "mail"
[exploration]
method = "epsilon"
epsilon = 0.2
[[holdouts]]
id = "universal"
share = 0.05
[[holdouts]]
id = "quiet"
share = 0.1
strategies = ["mail"]
"""


def test_the_funnel_is_shown_with_what_chance_costs(tmp_path: Path) -> None:
    plain, chance = (check(text, tmp_path).stdout for text in (SHOP, SHOP + CHANCE))
    for stage in STAGES:
        assert f"{stage.name} " in plain
        assert stage.drops in plain
    assert "Nothing explores and nobody is held out" in plain
    assert "Nothing explores and nobody is held out" not in chance
    for told in (
        "universal: 0.05 of the customers from everything; quiet: 0.1 of the customers from mail",
        "epsilon 0.2, floor 0.05", "fallback mail", "Held out from everything: 0.05",
        "Explored: at least 0.2", "Without a model 0.1 of the decisions",
    ):  # fmt: skip
        assert told in chance
        assert told not in plain


def test_the_funnel_is_shown_with_what_each_stage_is_set_to_and_costs(tmp_path: Path) -> None:
    rules = (
        '[contacts]\ntime_zone = "UTC"\none_open = true\n[[caps]]\nid = "w"\ncontacts = 3\nwithin = "7d"\n'
        '[quiet_hours]\nfrom = "21:00"\nuntil = "08:00"\nrelease_spread = "2h"\n'
    )
    ruled = " ".join(check(SHOP + rules, tmp_path).stdout.replace("│", " ").split())
    for told in (
        "1 cap, one open decision a strategy", "from 21:00 until 08:00, hold", "bytes a customer",
        "contacts wait, and go out over 2h", "opportune pause --list tells",
    ):  # fmt: skip
        assert told in ruled or all(word in ruled for word in told.split())
    assert "no rules" in check(SHOP, tmp_path).stdout


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ('[policy]\nfallback = "fax"', 'policy.fallback: expected one of mail, got "fax"'),
        ('[[holdouts]]\nid = "a"\nshare = 0.0', "holdouts[0].share: Expected `float` > 0"),
        ('[[holdouts]]\nid = "a"\nshare = 1.0', "holdouts[0].share: Expected `float` < 1"),
        (
            '[[holdouts]]\nid = "a"\nshare = 0.1\nstrategies = ["fax"]',
            'holdouts[0].strategies[0]: expected one of mail, got "fax"',
        ),
        (
            '[[holdouts]]\nid = "a"\nshare = 0.1\nchannels = ["fax"]',
            "holdouts[0].channels[0]: expected a channel of a strategy",
        ),
        (
            '[[holdouts]]\nid = "a"\nshare = 0.1\n[[holdouts]]\nid = "a"\nshare = 0.1',
            'holdouts[1].id: expected each id once, got "a" again',
        ),
        (
            '[[strategies]]\nid = "b"\ntransactional = true\n[[holdouts]]\nid = "a"\nshare = 0.1\nstrategies = ["b"]',
            "holdouts[0].strategies[0]: expected none that is transactional",
        ),
        (
            '[[strategies]]\nid = "b"\nvalue_from = "revenue"',
            'strategies[1].value_from: expected the name of a feature, got "revenue"',
        ),
        ('[exploration]\nmethod = "greedy"', "exploration.method: expected one of epsilon, inverse_gap"),
        ("[exploration]\nepsilon = 1.5", "exploration.epsilon: Expected `float` <= 1"),
    ],
)  # fmt: skip
def test_a_wrong_funnel_is_refused(more: str, says: str, tmp_path: Path) -> None:
    refused = check(f"{SHOP}\n{more}\n", tmp_path)
    assert refused.exit_code == 2
    assert says in refused.stderr
