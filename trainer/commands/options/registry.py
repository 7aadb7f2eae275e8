"""The registry of a command: by option, by environment, or by the campaign file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from models.errors import BundleError, RegistryError
from models.registry import Registry
from stream.campaign import file as campaign_file
from stream.errors import OperatorError

_Command = TypeVar("_Command", bound=Callable[..., Any])
_CAMPAIGN = Path("opportune.toml")
REGISTRY = click.option(
    "--registry", envvar="OPPORTUNE_REGISTRY", help="Model registry, a path or URL."
)
"""--registry, for commands that read a campaign file anyway."""


class ModelError(OperatorError):
    """The registry does not hold what the command needs; the message says what there is."""


def registry_options(command: _Command) -> _Command:
    """Adds --registry and --campaign, for `opened`."""
    command = click.option(
        "--campaign",
        type=click.Path(path_type=Path),
        help="Campaign file that names the registry.  [default: opportune.toml]",
    )(command)
    return REGISTRY(command)


@contextmanager
def opened(registry: str | None, campaign: Path | None) -> Iterator[Registry]:
    """The registry that the options name; inside, what is wrong with it ends the command.

    Raises:
        OperatorError: No registry is named, it cannot be read, or does not hold what is asked for.
    """
    if registry is None:
        if campaign is None and not _CAMPAIGN.exists():
            raise ModelError(
                "expected a registry: name it with --registry or OPPORTUNE_REGISTRY, or the "
                f"campaign file with --campaign; there is no {_CAMPAIGN} here"
            )
        registry = campaign_file.load(campaign or _CAMPAIGN).model.registry
    try:
        yield Registry(registry)
    except (BundleError, RegistryError) as exc:
        raise ModelError(str(exc)) from exc
    except OSError as exc:
        raise ModelError(f"{registry}: expected a registry that can be used: {exc}") from exc
