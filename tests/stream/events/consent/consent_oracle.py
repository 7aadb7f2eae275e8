"""What an event says of consent, read by the words of docs/consent.md with sets of strings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from stream.campaign.file import EventMapping
from stream.campaign.purposes import Purpose

YES = {
    "granted",
    "true",
    "yes",
    "y",
    "1",
    "subscribed",
    "optedin",
    "optin",
    "doubleoptin",
    "active",
}
NO = {
    "denied", "false", "no", "n", "0", "unsubscribed", "optedout", "optout", "revoked", "withdrawn",
    "never", "cleaned", "blocked", "declined", "rejected", "pending", "p", "dn",
}  # fmt: skip
SILENT_IN_XDM = {"u", "dy", "li", "ct", "cp", "vi", "pi"}


def plain_fold(text: str) -> str:
    text = "".join(c for c in text if c not in " \t\n\r")
    text = text[:1] + text[1:].replace("-", "").replace("_", "")
    return "".join(c.lower() if c.isascii() else c for c in text)


def plain_flag(value: Any, *, in_xdm: bool = False) -> int:
    """1, 0, -1 not said, -2 unreadable; a number is a `str` as it was written."""
    if value is None or value == "":
        return -1
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, str):
        return -2
    word = plain_fold(value)
    if in_xdm and word in SILENT_IN_XDM:
        return -1
    return 1 if word in YES else 0 if word in NO else -2


def plain_opt_out(value: Any) -> int:
    """The same where yes denies; a word that is no yes and no no denies or is unreadable."""
    word = value if isinstance(value, bool) else plain_fold(value) if isinstance(value, str) else ""
    if word in (True, "true", "yes", "y", "1", "on"):
        return 0
    if word in (False, "false", "no", "n", "0", "off"):
        return 1
    return 0 if plain_flag(value) == 0 else -2


def plain_said(
    root: Any, mapping: EventMapping, purposes: Sequence[Purpose], *, wrapped: bool
) -> list[int]:
    """What an event says of each purpose."""
    all_said = []
    for purpose in purposes:
        said = set(_said_of(root, mapping, purpose, wrapped))
        all_said.append(0 if 0 in said else -2 if -2 in said else 1 if 1 in said else -1)
    return all_said


def _said_of(root: Any, mapping: EventMapping, purpose: Purpose, wrapped: bool) -> Iterator[int]:
    def values(paths: Sequence[str]) -> list[Any]:
        tried = [*("data." + p for p in paths), *paths] if wrapped else paths
        found = [_at(root, path) for path in tried]
        return [value for value in found if value is not None and value != ""]

    def flags(paths: Sequence[str]) -> list[Any]:
        traits = [f"context.{path}" for path in paths if path.startswith("traits.")]
        return values([*paths, *traits])

    yield from map(plain_flag, flags(purpose.paths))
    yield from map(plain_opt_out, flags(purpose.opt_out))
    for value in values([f"{path}.{purpose.xdm}.val" for path in mapping.consent_xdm]):
        yield plain_flag(value, in_xdm=True)
    inner = (
        *mapping.consent_categories, *mapping.consent_allowed_ids, *mapping.consent_denied_ids,
        *mapping.consent_strategy,
    )  # fmt: skip
    objects = [path.rpartition(".")[0] for path in inner if "." in path]
    objects += [f"{path}{more}" for path in mapping.consent_xdm for more in ("", f".{purpose.xdm}")]
    if not all(isinstance(value, dict) for value in values(objects)):
        yield -2
    names = {plain_fold(name) for name in purpose.names}
    if not names:
        return
    for value in values(mapping.consent_categories):
        yield from _by_category(value, names, purpose.is_expected)
    yield from _by_ids(
        values(mapping.consent_allowed_ids), values(mapping.consent_denied_ids),
        {str(value).lower() for value in values(mapping.consent_strategy)}, names, purpose.is_expected,
    )  # fmt: skip


def _by_category(value: Any, names: set[str], is_expected: bool) -> Iterator[int]:
    if not isinstance(value, dict):
        yield -2
        return
    said = [plain_flag(flag) for key, flag in value.items() if plain_fold(key) in names]
    yield from said
    if is_expected and set(said) <= {-1}:
        yield 0


def _by_ids(
    allowed: list[Any], denied: list[Any], strategies: set[str], names: set[str], is_expected: bool
) -> Iterator[int]:
    if not all(isinstance(value, list) for value in (*allowed, *denied)):
        yield -2
    yes = [one for value in allowed if isinstance(value, list) for one in value]
    no = [one for value in denied if isinstance(value, list) for one in value]
    if not all(one is None or isinstance(one, str) for one in (*yes, *no)):
        yield -2
    yes = [plain_fold(one) for one in yes if one and isinstance(one, str)]
    no = [plain_fold(one) for one in no if one and isinstance(one, str)]
    is_allowed, is_denied = bool(names & set(yes)), bool(names & set(no))
    if is_allowed and not (is_denied and "or" not in strategies):
        yield 1
    if is_denied and not (is_allowed and "or" in strategies):
        yield 0
    if is_expected and yes and not is_allowed and not is_denied:
        yield 0


def _at(root: Any, path: str) -> Any:
    for key in path.split("."):
        root = root.get(key) if isinstance(root, dict) else None
    return root
