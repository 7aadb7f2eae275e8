"""Reading a file that nobody but this user can have written.

Rules of this file
1. What was opened is what is looked at: the checks are of the descriptor, not of a name that may
   mean something else by then.
2. Opening never waits and has no effect: a FIFO or a device is refused, not read.
3. What is refused is an `OSError` that says who may write there.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def expect_private_folder(folder: Path) -> None:
    """Looks at who may put files into a folder; `folder` may be a link to it.

    Raises:
        OSError: It is not there, or others than this user and root may write to it.
    """
    found = folder.stat()
    if found.st_uid not in {os.geteuid(), 0} or found.st_mode & _WRITABLE_BY_OTHERS:
        raise PermissionError(
            f"expected a folder that only user {os.geteuid()} can write to, got "
            f"{_told(found)} at {folder}. Operator action: chmod 700, or name a folder below it "
            "that is not there yet"
        )


def read_private(path: Path, bytes_max: int) -> bytes:
    """The whole file.

    Args:
        path: Its name; a link is not followed.
        bytes_max: More than that is refused before it is read.

    Raises:
        FileNotFoundError: There is none.
        OSError: It is no regular file, others may write to it or to its folder, or it is larger.
    """
    # O_NONBLOCK: opening a FIFO would wait for somebody who writes.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise OSError("expected a regular file, got a link") from exc
        raise
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"expected a regular file, got {_told(found)}")
        if found.st_uid != os.geteuid() or found.st_mode & _WRITABLE_BY_OTHERS:
            raise PermissionError(
                f"expected a file that only user {os.geteuid()} can write to, got {_told(found)}"
            )
        expect_private_folder(path.parent)
        if found.st_size > bytes_max:
            raise OSError(f"expected {bytes_max} bytes at most, got {found.st_size}")
        return file.read(found.st_size)


def _told(found: os.stat_result) -> str:
    return f"{stat.filemode(found.st_mode)} of user {found.st_uid}"
