"""`python -m benchmarks training`: a whole `opportune train` on a large history."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.errors import BenchmarkError
from benchmarks.large.made import write_archive
from benchmarks.options import json_option
from benchmarks.progress import Steps
from benchmarks.report import environment, write_json

_CAMPAIGN = Path(__file__).with_name("opportune.toml")
_LIMIT_MIB = 4096
_POLL_S = 0.1


@click.command()
@click.option("--events", type=click.IntRange(100_000), default=50_000_000, show_default=True)
@click.option("--customers", type=click.IntRange(1_000), default=1_000_000, show_default=True)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where there is room: some 50 bytes an event.  [default: a temporary one]",
)
@json_option
def training(events: int, customers: int, folder: Path | None, json_file: Path | None) -> None:
    """Time and peak memory of `opportune train` on a large made-up history.

    The exit code is 1 when the peak is 4 GiB or more.
    """
    with (
        tempfile.TemporaryDirectory(prefix="opportune-benchmark-", dir=folder) as name,
        Steps() as steps,
    ):
        root = Path(name)
        with steps.step("Making the history", events) as advance:
            archive_bytes = write_archive(root / "archive", events, customers, advance)
        with steps.step("opportune train"):
            figures = _train(root) | {"events": events, "customers": customers}
    figures["archive_gb"] = round(archive_bytes / 1e9, 2)
    table = Table("", "", title="Training on a large history")
    for what, figure in figures.items():
        table.add_row(
            what.replace("_", " "), f"{figure:,}" if isinstance(figure, int) else str(figure)
        )
    Console().print(table)
    if json_file is not None:
        write_json(json_file, figures | environment())
    if figures["peak_rss_mib"] >= _LIMIT_MIB:
        raise BenchmarkError(
            f"expected a peak below {_LIMIT_MIB} MiB, got {figures['peak_rss_mib']}"
        )


def _train(root: Path) -> dict[str, Any]:
    """Runs the command, and looks at its memory ten times a second."""
    began_s = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "stream", "train", str(_CAMPAIGN), "--json",
         "--archive", str(root / "archive"), "--registry", str(root / "registry"),
         "--work", str(root / "work")],
        stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        watched, peak_bytes = psutil.Process(process.pid), 0
        while process.poll() is None:
            try:
                peak_bytes = max(peak_bytes, watched.memory_info().rss)
            except psutil.Error:
                break
            time.sleep(_POLL_S)
        assert process.stdout is not None
        said = process.stdout.read()
    if process.returncode != 0:
        raise BenchmarkError(f"opportune train ended with exit code {process.returncode}")
    took_s = time.perf_counter() - began_s
    verdict = json.loads(said)["verdict"]
    return {
        "seconds": round(took_s, 1),
        "peak_rss_mib": round(peak_bytes / 2**20),
        "test_examples": verdict["rows"],
        "log_loss": round(verdict["value"]["value"], 4),
        "better_than_base_rates_by": round(verdict["difference"]["value"], 4),
        "gate": "promote" if verdict["promote"] else "do not promote",
    }
