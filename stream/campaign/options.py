"""The campaign file and what a command line says instead of it: shared by all commands."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from stream.campaign.file import Campaign
from stream.campaign.words import KafkaAddress


class _KafkaAddress(click.ParamType):
    """`HOST:PORT` on the command line, or several with commas between them."""

    name = "HOST:PORT"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Returns it as it is, or fails with what was expected."""
        try:
            return msgspec.convert(value, KafkaAddress)
        except msgspec.ValidationError:
            self.fail(f"expected host:port, or several with commas, got {value!r}.", param, ctx)


CAMPAIGN = click.argument("campaign", type=click.Path(path_type=Path), default="opportune.toml")
BOOTSTRAP = click.option(
    "--bootstrap", envvar="OPPORTUNE_BOOTSTRAP", type=_KafkaAddress(), help="Kafka address."
)


def with_registry(campaign: Campaign, registry: str | None) -> Campaign:
    """The campaign with another model registry."""
    if registry is None:
        return campaign
    model = msgspec.structs.replace(campaign.model, registry=registry)
    return msgspec.structs.replace(campaign, model=model)
