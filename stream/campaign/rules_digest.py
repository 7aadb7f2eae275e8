"""A digest of everything in a campaign file by which decisions are made.

A policy has a version that people give it, and may forget to raise. Decisions carry this beside it, so
that whoever makes one again knows whether these are the rules that made it.

Rules of this file
1. What only says where things are, how workers run, or how models are trained is left out; whatever is new
   counts until somebody says that it does not.
"""

from __future__ import annotations

import hashlib

import msgspec

from stream.campaign.file import Campaign

_DECIDES_NOTHING = (
    "bootstrap", "model", "training", "search", "evaluation", "gate", "worker",
)  # fmt: skip


def rules_digest(campaign: Campaign) -> str:
    """12 hex digits that stand for the rules of a campaign."""
    said = msgspec.to_builtins(campaign)
    for section in _DECIDES_NOTHING:
        said.pop(section, None)
    canonical = msgspec.json.encode(said, order="sorted")
    return hashlib.sha256(canonical).hexdigest()[:12]
