"""Generated members of events that say something of consent, in all forms."""

from __future__ import annotations

from hypothesis import strategies as st

from stream.campaign.file import EventMapping
from stream.campaign.purposes import Purpose, general_purpose

PURPOSES = (
    general_purpose(EventMapping(consent_opt_out=("traits.opted_out",))),
    Purpose(
        "mail",
        ("traits.mail",),
        ("mail", "newsletter"),
        "mail",
        is_expected=True,
        opt_out=("traits.no_mail", "no_mail"),
    ),
    Purpose("sms", (), ("sms",), "sms", is_expected=False),
)

CONSENTS = [
    "true", "false", '"granted"', '"DENIED"', '"Opted In"', '"opted-out"', '"maybe"', "1", "0", "-1",
    '"u"', '"dn"', "null", '""', "{}", r'"ye\u0073"', r'"\ud83d"', "1.5", '"-1"',
]  # fmt: skip
CATEGORY_NAMES = ["Advertising", "advertising", "Mail", "sms", "Functional", r"Advertis\u0069ng"]
ID_LISTS = [
    "[]", "null", '""', '"marketing"', '["marketing"]', '["MAIL", "advertising"]', '["sms"]', "[1]",
    "[true]", '[["marketing"]]', r'["m\u0061il"]', "{}", '["x", null, ""]', '["news-letter"]',
]  # fmt: skip


def members(pairs: list[tuple[str, str]]) -> str:
    return "{" + ", ".join(f'"{key}": {value}' for key, value in pairs) + "}"


@st.composite
def consents(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Members that say something of consent, in all forms."""
    flags, ids = st.sampled_from(CONSENTS), st.sampled_from(ID_LISTS)
    names = st.sampled_from(CATEGORY_NAMES)
    categories = st.lists(st.tuples(names, flags), max_size=3).map(members) | flags
    lists = st.fixed_dictionaries({}, optional={
        "allowedConsentIds": ids, "deniedConsentIds": ids,
        "resolutionStrategy": st.sampled_from(['"and"', '"OR"', '"or"', "null", "1"]),
    })  # fmt: skip
    marketing = st.fixed_dictionaries(
        {},
        optional={
            "marketing_consent": flags,
            "mail": flags,
            "opted_out": flags,
            "no_mail": flags,
        },
    )
    context = st.fixed_dictionaries({}, optional={
        "traits": marketing.map(lambda d: members([*d.items()])),
        "consent": st.fixed_dictionaries(
            {}, optional={"marketing": flags, "categoryPreferences": categories}
        ).map(lambda d: members([*d.items()])) | flags,
        "consentManagement": lists.map(lambda d: members([*d.items()])) | ids,
    })  # fmt: skip
    channels = st.dictionaries(
        st.sampled_from(["any", "mail", "sms"]), flags.map(lambda v: members([("val", v)])) | flags
    )
    in_xdm = channels.map(lambda d: members([*d.items()])) | flags
    return draw(st.lists(st.one_of(
        flags.map(lambda said: ("no_mail", said)),
        marketing.map(lambda d: ("traits", members([*d.items()]))),
        context.map(lambda d: ("context", members([*d.items()]))),
        in_xdm.map(lambda said: ("consents", members([("marketing", said)]))),
    ), max_size=3))  # fmt: skip
