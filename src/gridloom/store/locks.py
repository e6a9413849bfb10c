"""One writer a file: an advisory lock that the kernel drops when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from gridloom.store.errors import StoreLocked

if TYPE_CHECKING:
    from pathlib import Path


class WriterLock:
    """Holds `path` for this object until `release`; the file itself stays and names the holder.

    A child that is forked without exec shares the lock: start children by exec, as everything here does.
    """

    def __init__(self, path: Path) -> None:
        """Take the lock at once.

        Raises:
            StoreLocked: If somebody else holds it.
        """
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(self._file, 20, 0).decode("ascii", "replace").strip()
            os.close(self._file)
            raise StoreLocked(path, owner) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def sync_directory(directory: Path) -> None:
    """Make names that were created or renamed in `directory` survive a power cut."""
    handle = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
