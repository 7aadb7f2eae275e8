"""Progress on standard error, so that standard output holds results only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class Steps(AbstractContextManager["Steps"]):
    """A bar for the step in work; a finished step leaves one line."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    @contextmanager
    def step(self, title: str, total: int | None = None) -> Iterator[Callable[[int], object]]:
        """Shows a step; gives the function that says how many of the total were done since."""
        task = self._progress.add_task(title, total=total)
        try:
            yield lambda done: self._progress.advance(task, done)
        finally:
            took_s = self._progress.tasks[-1].elapsed or 0.0
            self._progress.remove_task(task)
        self._console.print(
            f"{title} {f'{total:,} ' if total else ''}took {took_s:.1f} s", style="dim"
        )
