"""The file by which a platform says that it is ready to act."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pathlib import Path


class PlatformReady(msgspec.Struct, frozen=True, kw_only=True):
    """What the platform writes when its first plans lie ready."""

    url: str
    """Address of the control room, empty without one."""
    pid: int
    grid: str


def write_ready(path: Path, ready: PlatformReady) -> None:
    """Write the ready file in one step."""
    draft = path.with_suffix(".new")
    draft.write_bytes(msgspec.json.encode(ready))
    draft.replace(path)
