"""`opportune pause` and `opportune resume`: switches that running workers follow."""

from __future__ import annotations

import asyncio
import getpass
import logging
import socket
from datetime import UTC, datetime
from pathlib import Path

import click
from aiokafka.errors import KafkaError
from rich.table import Table

from stream.campaign import file as campaign_file
from stream.campaign.file import Campaign
from stream.campaign.options import BOOTSTRAP, CAMPAIGN
from stream.errors import KafkaLayoutError, OperatorError
from stream.policy.operated.pauses import EVERYTHING, Switch, read_switch, record_of
from stream.terminal import Terminal
from stream.worker.control.control_topic import (
    ControlReader,
    ControlRecord,
    control_topic,
    prepare_control,
    write_control,
)

_STRATEGY = click.argument("strategy", required=False)
_REASON = click.option("--reason", default="", help="Why; it stands in the topic and in the log.")
_BY = click.option("--by", help="Who; USER@HOST when not given.")


@click.command()
@CAMPAIGN
@_STRATEGY
@click.option("--list", "lists", is_flag=True, help="Show what is paused, and who switched what.")
@_REASON
@_BY
@BOOTSTRAP
def pause(
    campaign: Path, strategy: str | None, lists: bool, reason: str, by: str | None,
    bootstrap: str | None,
) -> None:  # fmt: skip
    """Stop contacts at once, of everything or of one STRATEGY, on all running workers.

    Workers go on and publish decisions; what is paused is in none of them, with the code PAUSED. It lasts
    until `opportune resume`, through restarts and new models.
    """
    loaded = _loaded(campaign)
    address = bootstrap or loaded.bootstrap
    if lists:
        _show(asyncio.run(_read(address, loaded)))
        return
    _switch(loaded, address, strategy, Switch(paused=True, by=_who(by), reason=reason, at=_now()))


@click.command()
@CAMPAIGN
@_STRATEGY
@_REASON
@_BY
@BOOTSTRAP
def resume(
    campaign: Path, strategy: str | None, reason: str, by: str | None, bootstrap: str | None
) -> None:
    """End a pause of everything, or of one STRATEGY.

    Each pause ends by itself: one of a strategy stays when the pause of everything ends.
    """
    loaded = _loaded(campaign)
    switch = Switch(paused=False, by=_who(by), reason=reason, at=_now())
    _switch(loaded, bootstrap or loaded.bootstrap, strategy, switch)


def _loaded(campaign: Path) -> Campaign:
    # Trouble with the broker is told by the error; aiokafka also tells what it then tries again.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    return campaign_file.load(campaign)


def _switch(campaign: Campaign, bootstrap: str, strategy: str | None, switch: Switch) -> None:
    ids = [one.id for one in campaign.strategies]
    if strategy is not None and strategy not in ids:
        raise OperatorError(
            f"expected a strategy of the campaign, one of {', '.join(ids)}, or none for everything, got "
            f"{strategy!r}"
        )
    record = ControlRecord(*record_of(strategy or EVERYTHING, switch))
    try:
        asyncio.run(_write(bootstrap, campaign, record))
    except KafkaError as exc:
        raise KafkaLayoutError(
            f"expected the broker to take the switch, got {type(exc).__name__} {exc}; nothing is "
            "switched. Operator action: try again"
        ) from exc
    what = strategy or "everything"
    click.echo(f"{what} is {'paused' if switch.paused else 'not paused any more'}")
    if not switch.paused:
        left = [n for n, s in _newest(asyncio.run(_read(bootstrap, campaign))).items() if s.paused]
        for name in sorted(left):
            click.echo(f"still paused: {'everything' if name == EVERYTHING else name}")


async def _write(bootstrap: str, campaign: Campaign, record: ControlRecord) -> None:
    await prepare_control(bootstrap, campaign.app, campaign.worker.replication)
    await write_control(bootstrap, campaign.app, [record])


async def _read(bootstrap: str, campaign: Campaign) -> list[tuple[str, Switch]]:
    """Every switch that the topic still has, in order."""
    await prepare_control(bootstrap, campaign.app, campaign.worker.replication)
    reader = ControlReader(bootstrap, control_topic(campaign.app))
    try:
        records = await reader.open()
    finally:
        await reader.close()
    found = (read_switch(record.key, record.value) for record in records)
    return [switch for switch in found if switch is not None]


def _newest(switches: list[tuple[str, Switch]]) -> dict[str, Switch]:
    return dict(switches)


def _show(switches: list[tuple[str, Switch]]) -> None:
    console = Terminal()
    paused = sorted(name for name, switch in _newest(switches).items() if switch.paused)
    names = ["everything" if name == EVERYTHING else name for name in paused]
    console.print(f"Paused: {', '.join(names) or 'nothing'}")
    if not switches:
        return
    table = Table("when", "what", "switch", "by", "reason", title="Switches", title_justify="left")
    for name, switch in reversed(switches):
        what = "everything" if name == EVERYTHING else name
        said = "paused" if switch.paused else "resumed"
        table.add_row(switch.at or "?", what, said, switch.by, switch.reason)
    console.print(table)


def _who(by: str | None) -> str:
    return by or f"{getpass.getuser()}@{socket.gethostname()}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
