"""The forms of consent of those who send it, purposes and channels, from record bytes to decisions."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stream.campaign.consent_sections import PurposeSpec
from stream.campaign.file import Campaign, parse
from tests.stream.consent_harness import (
    NOW_MS,
    SEGMENT,
    Shop,
    categories,
    contacted,
    dropped,
    identify,
    lists,
    segment,
    xdm,
)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (categories({"Advertising": False}), "NO_CONSENT"),
        (categories({"Advertising": True}), "act"),
        (categories({"Advertising": True, "marketing": False}), "NO_CONSENT"),
        (categories({}), "NO_CONSENT"),
        (categories({"Analytics": True, "Functional": True}), "NO_CONSENT"),
        (categories({"Advertising": None}), "NO_CONSENT"),
        (categories(None), "act"),
        (categories("all"), "NO_CONSENT"),
        (identify(context={"consent": {}}), "act"),
        (lists(deniedConsentIds=["marketing"], resolutionStrategy="and"), "NO_CONSENT"),
        (lists(deniedConsentIds=["Marketing"]), "NO_CONSENT"),
        (lists(deniedConsentIds=["analytics"], resolutionStrategy="and"), "act"),
        (lists(allowedConsentIds=["marketing"], deniedConsentIds=[]), "act"),
        (lists(allowedConsentIds=["analytics"]), "NO_CONSENT"),
        (lists(allowedConsentIds=[], deniedConsentIds=[]), "act"),
        (lists(
            allowedConsentIds=["advertising"], deniedConsentIds=["marketing"],
            resolutionStrategy="and",
        ), "NO_CONSENT"),
        (lists(
            allowedConsentIds=["advertising"], deniedConsentIds=["marketing"],
            resolutionStrategy="or",
        ), "act"),
        (lists(deniedConsentIds=["marketing"], resolutionStrategy="or"), "NO_CONSENT"),
        (lists(deniedConsentIds="marketing"), "NO_CONSENT"),
        (identify(context={"consent": False}), "NO_CONSENT"),
        (identify(context={"consent": "denied"}), "NO_CONSENT"),
        (identify(context={"consent": []}), "NO_CONSENT"),
        (identify(context={"consent": None, "consentManagement": ""}), "act"),
        (identify(context={"consentManagement": ["marketing"]}), "NO_CONSENT"),
        (identify(consents={"marketing": "n"}), "NO_CONSENT"),
        (identify(consents={"marketing": {"any": "n"}}), "NO_CONSENT"),
        (identify(consents={"marketing": {"any": None}}), "act"),
        (xdm(any="y"), "act"),
        (xdm(any="n"), "NO_CONSENT"),
        (xdm(any="p"), "NO_CONSENT"),
        (xdm(any="dn"), "NO_CONSENT"),
        (xdm(any="u"), "act"),
        (xdm(any="LI"), "act"),
        (xdm(any="maybe"), "NO_CONSENT"),
    ],
)  # fmt: skip
def test_forms_mean_what_their_owners_say(record: Any, expected: str) -> None:
    assert contacted(record) == expected
    wrapped = {"specversion": "1.0", "id": "e", "source": "/s", "type": "t", "data": record}
    assert contacted(wrapped) == expected


OPT_OUTS: list[tuple[Any, str]] = [
    (True, "NO_CONSENT"), (False, "act"), ("true", "NO_CONSENT"), ("No", "act"), (1, "NO_CONSENT"), (0, "act"),
    ("opted_out", "NO_CONSENT"), ("unsubscribed", "NO_CONSENT"), ("subscribed", "NO_CONSENT"),
    ("granted", "NO_CONSENT"), (None, "act"), ("", "act"), ([], "NO_CONSENT"), ({"at": 1}, "NO_CONSENT"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "expected"), OPT_OUTS)
def test_a_flag_that_says_the_opposite(said: Any, expected: str) -> None:
    """Customer.io's `unsubscribed`, HubSpot's `hs_email_optout`, Salesforce's `HasOptedOutOfEmail`."""
    mapping = msgspec.structs.replace(segment().events, consent_opt_out=("traits.unsubscribed",))
    campaign = segment(events=mapping)
    for record in (
        identify(traits={"unsubscribed": said}), identify(context={"traits": {"unsubscribed": said}}),
        identify(specversion="1.0", data={"traits": {"unsubscribed": said}}),
    ):  # fmt: skip
        assert contacted(record, campaign=campaign) == expected


def test_an_opt_out_of_one_channel() -> None:
    mail = PurposeSpec(id="email", opt_out=("traits.HasOptedOutOfEmail",))
    shop = Shop(segment(purposes=(mail,)))
    shop.take(identify(traits={"HasOptedOutOfEmail": True}))
    said = dropped(shop)
    assert said["cart-reminder"] == said["ten-percent"] == "NO_CONSENT"
    shop.take(identify(traits={"HasOptedOutOfEmail": False}, time_ms=NOW_MS + 1000))
    assert "NO_CONSENT" not in dropped(shop).values()


def test_an_object_around_consent_may_be_a_flag_of_its_own() -> None:
    mapping = msgspec.structs.replace(
        segment().events, consent=("context.consent", "consents.marketing")
    )
    campaign = segment(events=mapping)
    for record in (
        identify(context={"consent": "granted"}), identify(consents={"marketing": True}),
    ):  # fmt: skip
        assert contacted(record, campaign=campaign) == "act"
    assert contacted(identify(context={"consent": False}), campaign=campaign) == "NO_CONSENT"


def test_categories_have_the_names_that_consent_tools_give_them() -> None:
    mapping = msgspec.structs.replace(segment().events, consent_names=("Customer.io", "C0004"))
    campaign = segment(events=mapping)
    assert contacted(categories({"Customer.io": False}), campaign=campaign) == "NO_CONSENT"
    assert contacted(categories({"customer.io": True}), campaign=campaign) == "act"
    assert contacted(lists(deniedConsentIds=["C0004"]), campaign=campaign) == "NO_CONSENT"


def test_a_channel_is_a_purpose() -> None:
    shop = Shop(segment())
    shop.take(xdm(email="n"))
    said = dropped(shop)
    assert said["cart-reminder"] == said["ten-percent"] == "NO_CONSENT"
    assert said["new-arrivals"] == "NOT_ELIGIBLE"
    shop.take(xdm(email="y", push="n"))
    said = dropped(shop)
    assert said["new-arrivals"] == "NO_CONSENT"
    assert "NO_CONSENT" not in (said.get("cart-reminder"), said.get("ten-percent"))
    shop.take(lists(deniedConsentIds=["EMAIL"]))
    assert dropped(shop)["cart-reminder"] == "NO_CONSENT"


def with_purposes(consent: str = "opt_out") -> Campaign:
    """Letters are a purpose of the reminder, and the other strategies have none of their own."""
    campaign = segment()
    reminder, *others = campaign.strategies
    letters = PurposeSpec(id="letters", paths=("traits.letters",), names=("newsletter",))
    return msgspec.structs.replace(
        campaign,
        purposes=(letters,),
        strategies=(msgspec.structs.replace(reminder, purposes=("letters",)), *others),
        policy=msgspec.structs.replace(campaign.policy, consent=consent),
    )


@pytest.mark.parametrize(
    ("consent", "said", "refused"),
    [
        ("opt_out", {}, set()),
        ("opt_out", {"letters": False}, {"cart-reminder"}),
        ("opt_out", {"letters": "hmm"}, {"cart-reminder"}),
        ("opt_out", {"letters": True, "marketing_consent": False}, {"cart-reminder", "ten-percent"}),
        ("opt_in", {}, {"cart-reminder", "ten-percent"}),
        ("opt_in", {"letters": True}, {"ten-percent"}),
        ("opt_in", {"marketing_consent": True}, {"cart-reminder"}),
        ("opt_in", {"letters": True, "marketing_consent": True}, set()),
        ("opt_in", {"letters": True, "marketing_consent": False}, {"cart-reminder", "ten-percent"}),
        ("ignore", {"letters": False, "marketing_consent": "hmm"}, set()),
    ],
)  # fmt: skip
def test_purposes(consent: str, said: dict[str, Any], refused: set[str]) -> None:
    shop = Shop(with_purposes(consent))
    shop.take(identify(traits=said))
    told = dropped(shop)
    without = {name for name, code in told.items() if code == "NO_CONSENT"} - {"new-arrivals"}
    assert without == refused


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ('[[purposes]]\nid = "marketing"', "expected another id"),
        ('[[purposes]]\nid = "a"\n[[purposes]]\nid = "a"', 'got "a" again'),
        ('[[suppressions]]\nevents = ["B"]\nchannel = "fax"', 'got "fax"'),
        ('[[strategies]]\nid = "x"\npurposes = ["no"]', 'expected one of marketing, got "no"'),
        ("\n".join(f'[[strategies]]\nid = "s{i}"\nchannel = "c{i}"' for i in range(20)),
         "expected at most 16 purposes"),
    ],
)  # fmt: skip
def test_a_campaign_that_contradicts_itself_is_refused(more: str, complaint: str) -> None:
    with pytest.raises(Exception, match=complaint):
        parse(f"{SEGMENT.read_text('utf-8')}\n{more}")
