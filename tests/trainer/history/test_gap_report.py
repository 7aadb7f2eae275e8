"""What a history lacks, in the report of the training on it: as JSON and on the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stream.campaign.file import parse
from stream.columns import RecordChunk
from tests.trainer.shop_history import CAMPAIGN, chunks, shop
from trainer.history.gaps import NOT_ARCHIVED, RETENTION, Gap
from trainer.history.source import OnRecords
from trainer.report.report import Report
from trainer.train import prepare, train


class Cut:
    """A history whose orders begin late in one partition, and whose redemptions end early."""

    def chunks(
        self, topics: Sequence[str], on_records: OnRecords | None = None
    ) -> Iterator[RecordChunk]:
        yield Gap.of("orders", 0, 0, 9, RETENTION)
        yield Gap.of("redemptions", 1, 30, None, NOT_ARCHIVED)
        for chunk in chunks(shop(60, seed=3), partitions=2):
            missing = {
                ("orders", 0): chunk.offset[0] < 9,
                ("redemptions", 1): chunk.offset[0] >= 30,
            }
            if not missing.get((chunk.topic, chunk.partition), False):
                yield chunk


@pytest.mark.slow
def test_a_report_says_what_the_history_lacks(tmp_path: Path) -> None:
    more = 'warm_up = "15d"\n[evaluation]\nresamples = 50\n'
    campaign = parse(CAMPAIGN.replace("epochs = 12", "epochs = 1") + more)
    prepared = prepare(campaign, Cut(), tmp_path, 5)
    trained = train(campaign, prepared, seed=5, created=datetime(2026, 11, 24, tzinfo=UTC))
    facts = Report.decode(trained.bundle.files["report.json"]).facts
    assert facts.notices == prepared.dataset.notices
    cut, unread = facts.notices
    assert cut.startswith("The history is cut: orders/0 offsets 0 to 9 removed by retention.")
    assert "redemptions/1 after 20" in unread
    counts = prepared.dataset.counts
    assert facts.joins["treatments too soon after a cut of the history"] == counts.cold > 0
    assert facts.joins["treatments with outcomes that may not have been read"] == counts.unread > 0
    page = trained.bundle.files["report.html"].decode()
    assert page.count("Not whole:") == 2
    assert "removed by retention" in page
