"""What a crash has left, removed by whoever goes on.

Rules of this file
1. What is unfinished beyond the last whole flush of a partition is an archiver's; all else is of a
   deletion or a compaction. Each removes its own, since the other one may be at work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trainer.archive.folder import TopicFolder
from trainer.archive.layout import FileName, Survey


def begin_archiving(folder: TopicFolder) -> tuple[Survey, int]:
    """Removes what an archiver has left. Only for who holds the lock "archive".

    Returns:
        What is there, and how many files were removed.

    Raises:
        TrainingError: Something that was there is missing.
    """
    found, paths = folder.look()
    left = [name.path for name in found.unfinished if _is_beyond(name, found)]
    temporary = [
        path for path, name in _temporary(paths) if name is None or _is_beyond(name, found)
    ]
    for path in (*left, *temporary):
        folder.store.remove(path)
    return found, len(left) + len(temporary)


def begin_rewriting(folder: TopicFolder) -> Survey:
    """Removes what a deletion or a compaction has left. Only for who holds the lock "rewrite".

    Returns:
        What is there.

    Raises:
        TrainingError: Something that was there is missing.
    """
    found, paths = folder.look()
    left = [name.path for name in found.unfinished if not _is_beyond(name, found)]
    replaced = [name.path for name in found.replaced]
    temporary = [
        path for path, name in _temporary(paths) if name is not None and not _is_beyond(name, found)
    ]
    for path in (*left, *replaced, *temporary):
        folder.store.remove(path)
    return found


def _is_beyond(name: FileName, found: Survey) -> bool:
    return name.first >= found.end(name.partition)


def _temporary(paths: Sequence[str]) -> Iterator[tuple[str, FileName | None]]:
    """What `models.store` has left behind, and which file each was to become."""
    for path in paths:
        folder, _, name = path.rpartition("/")
        if name.startswith(".") and ".parquet." in name:
            yield path, FileName.parse(f"{folder}/{name[1:].rpartition('.')[0]}")
