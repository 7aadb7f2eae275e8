"""Builds the app of a campaign: where the processor plugs into Faust.

A transport and a store by URL scheme, one table, one agent over all event topics, and Faust's settings.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

from faust.stores import STORES
from faust.transport.drivers import TRANSPORTS

from models.registry import Registry
from stream.campaign.file import Campaign
from stream.errors import CampaignError
from stream.features.plan import FeaturePlan, compile_features
from stream.scoring.champion import ModelWatcher
from stream.state.changelog_name import table_name, topic_name
from stream.worker.faust_app import store, transport
from stream.worker.faust_app.opportune_app import OpportuneApp
from stream.worker.partition.snapshots import Snapshots
from stream.worker.processor import Processor

TRANSPORTS.aliases[transport.SCHEME] = "stream.worker.faust_app.transport:Transport"
STORES.aliases[store.SCHEME] = "stream.worker.faust_app.store:Store"

_CHUNKS_PER_POLL = 32
# Few: what waits at the broker comes in larger chunks, what waits in the queue stays in small ones.
_CHUNKS_QUEUED_MAX = 4


def create_app(
    campaign: Campaign, bootstrap: str | None = None, **faust_settings: Any
) -> OpportuneApp:
    """Builds the app of a campaign.

    Args:
        campaign: The campaign file.
        bootstrap: Kafka address, instead of the campaign's.
        faust_settings: Settings of Faust beside those of every worker, or instead of them.
    """
    bootstrap = bootstrap or campaign.bootstrap
    plan = compile_features(campaign)
    table = table_name(plan.layout_digest)
    changelog = topic_name(campaign.app, plan.layout_digest)
    app = OpportuneApp(
        campaign,
        bootstrap,
        make_processor=partial(Processor, campaign, plan, changelog),
        watcher=_watcher(campaign, plan),
        snapshots=_snapshots(campaign, changelog),
        faust_settings=_faust_settings(campaign, bootstrap) | faust_settings,
    )
    _add_table(app, table)
    _add_agent(app)
    return app


def _faust_settings(campaign: Campaign, bootstrap: str) -> dict[str, Any]:
    worker = campaign.worker
    return {
        "broker": f"{transport.SCHEME}://{bootstrap}",
        "store": f"{store.SCHEME}://",
        "autodiscover": False,
        # A worker that was killed holds up its successor that long; Faust's own is a minute.
        "broker_session_timeout": worker.session_timeout_s,
        "broker_heartbeat_interval": worker.session_timeout_s / 4,
        "broker_commit_interval": worker.commit_interval_ms / 1000,
        "broker_commit_every": 1 << 30,  # by time only
        "broker_max_poll_records": _CHUNKS_PER_POLL,
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": worker.fetch_bytes_max,
        "producer_max_request_size": 32 << 20,
        "stream_buffer_maxsize": _CHUNKS_QUEUED_MAX,
        "stream_recovery_delay": 0.0,
        "table_standby_replicas": 0,
        "topic_disable_leader": True,
        "web_enabled": False,
        "web_bind": "127.0.0.1",
        "TableManager": store.TableManager,
        "Table": store.Table,
    }


def _watcher(campaign: Campaign, plan: FeaturePlan) -> ModelWatcher:
    return ModelWatcher(
        _registry(campaign),
        plan.contract.digest,
        [strategy.id for strategy in campaign.strategies],
        builder=campaign.model.builder,
        score_ms_max=campaign.model.score_ms_max,
    )


def _registry(campaign: Campaign) -> Registry:
    try:
        return Registry(campaign.model.registry)
    except OSError as exc:  # no such protocol, or the package for it is missing
        raise CampaignError(f"model.registry: {exc}") from exc


def _snapshots(campaign: Campaign, changelog: str) -> Snapshots | None:
    folder = campaign.worker.snapshots
    return Snapshots(Path(folder), changelog) if folder else None


def _add_table(app: OpportuneApp, name: str) -> None:
    app.Table(
        name,
        key_type=bytes,
        value_type=bytes,
        # Longer than a partition can be held by a worker that has lost it: the row it may still
        # write can then not be the one that compaction keeps before its successor's is there.
        extra_topic_configs={"min.compaction.lag.ms": "600000", "max.message.bytes": "8388608"},
    )


def _add_agent(app: OpportuneApp) -> None:
    events = app.topic(
        *app.campaign.topics.events,
        schema=store.ChunkSchema(key_type=bytes, value_type=bytes),
        maxsize=_CHUNKS_QUEUED_MAX,
    )

    async def decide(stream: Any) -> None:
        async for event in stream.noack().events():
            try:
                await app.processor.process(event.message)
            except Exception as exc:  # noqa: BLE001  # Faust would log it and go on without the chunk
                app.fail(exc)
                await asyncio.Event().wait()

    app.agent(events, name="decide", concurrency=1)(decide)
