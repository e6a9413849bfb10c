"""The `gridloom` command: reads settings, builds objects, starts them.

Each command is a file; heavy rooms are imported inside commands so that `gridloom --help` stays quick.
"""

from __future__ import annotations

from gridloom.cli.main import main

__all__ = ["main"]
