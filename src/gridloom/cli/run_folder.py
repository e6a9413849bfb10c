"""Where a run keeps its journal, history, logs and ready files."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

from gridloom.core.errors import BadInput

_JOURNAL = "journal.sqlite"


def state_home() -> Path:
    """Return the user's folder for Gridloom's state."""
    root = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(root) / "gridloom"


def new_run_folder(given: str) -> Path:
    """Return the folder of a run, made 0700: the given one, or a new one named after the time."""
    if given:
        folder = Path(given).expanduser().resolve()
    else:
        stamp = datetime.now(tz=UTC).strftime("%Y%m%d-%H%M%S")
        folder = state_home() / "runs" / f"{stamp}-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        message = (
            f"cannot make the run's folder {folder}: {error.strerror}; give another with --data"
        )
        raise BadInput(message) from None
    return folder


def table_path(folder: Path) -> Path:
    """Return where a run in `folder` keeps its table of prepared plans: in memory where the system can."""
    from gridloom.orchestrator.prepared import shared_path

    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return shared_path(f"gridloom-{name}", folder)


def journal_path(where: Path | None) -> Path:
    """Return the journal of a run folder, a journal file itself, or the latest run's journal.

    Raises:
        BadInput: There is none; the message says where it was looked for.
    """
    if where is None:
        found = sorted((state_home() / "runs").glob(f"*/{_JOURNAL}"))
        if not found:
            message = (
                f"no run has left a journal under {state_home() / 'runs'}; give a folder or file"
            )
            raise BadInput(message)
        return found[-1]
    path = where / _JOURNAL if where.is_dir() else where
    if not path.is_file():
        message = f"no journal at {path}"
        raise BadInput(message)
    return path
