"""Entries of a campaign file, and the plan they compile to."""

from __future__ import annotations

from stream.campaign.file import parse
from stream.features.plan import FeaturePlan, compile_features

COUNT = """
[[features]]
op = "count"
events = ["purchase"]
half_lives = ["30d"]
"""


def compiled(features: str, eligible: str = "", rest: str = "") -> FeaturePlan:
    return compile_features(
        parse(
            f'app = "test"\ntopics.events = ["one", "two"]\n{rest}\n'
            f'strategies = [{{id = "s"}}, {{id = "t", eligible = [{eligible}]}}]\n{features}'
        )
    )


def entry(op: str, fields: str = "") -> str:
    return f'[[features]]\nop = "{op}"\n{fields}\n'
