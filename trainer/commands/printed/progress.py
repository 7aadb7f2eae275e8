"""Progress bars of long commands, on standard error, with rate and remaining time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from stream.campaign.file import Campaign
from stream.terminal import Terminal

if TYPE_CHECKING:
    from trainer.learning import Watch
    from trainer.search.found import Tried


class _RateColumn(ProgressColumn):
    """Steps per second, in the unit of the task."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} {task.fields['unit']}/s")


def progress(console: Console) -> Progress:
    """Bars for tasks that are added with `unit`, such as "records", and `note`, a text at the end."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )


@contextmanager
def counting(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """One bar on standard error while the block runs, which is told what is done and the total."""
    with progress(Terminal(stderr=True)) as bars:
        task = bars.add_task(what, unit=unit, total=None, note="")
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def watching(
    console: Console, campaign: Campaign, *, searches: bool, fits: bool = True, replays: bool = True
) -> Iterator[Watch]:
    """Bars on the console while the block runs; a table is neither read from topics nor replayed."""
    from trainer.learning import Watch

    with progress(console) as bars:
        reading, replaying = (
            bars.add_task(what, unit=unit, total=None, note="", start=start, visible=replays)
            for what, unit, start in (("Reading history", "records", True), ("Replaying", "shards", False))
        )  # fmt: skip
        searching = bars.add_task(
            "Searching", unit="trials", total=campaign.search.trials, note="", start=False,
            visible=searches,
        )  # fmt: skip
        fitting = bars.add_task(
            "Fitting", unit="epochs", total=campaign.training.epochs, start=False, note="",
            visible=fits,
        )  # fmt: skip

        def on_shard(done: int, total: int) -> None:
            bars.start_task(replaying)
            bars.update(replaying, completed=done, total=total)

        def on_trial(tried: Tried, best: float | None) -> None:
            told = "" if best is None else f"best log loss {best:.4f}"
            bars.update(searching, completed=tried.number + 1, note=told)

        def on_epoch(epoch: int, loss: float, validation_loss: float | None) -> None:
            judged = "" if validation_loss is None else f", later {validation_loss:.4f}"
            bars.update(fitting, completed=epoch, note=f"loss {loss:.4f}{judged}")

        def on_step(step: str) -> None:
            if step == "searching":
                bars.start_task(searching)
            elif step == "fitting":
                bars.start_task(fitting)
            elif step == "judging":
                bars.stop_task(fitting)
                bars.add_task("Judging", unit="", total=None, note="")

        yield Watch(
            records=lambda done, total: bars.update(reading, completed=done, total=total),
            shards=on_shard,
            trials=on_trial,
            epochs=on_epoch,
            step=on_step,
        )
