"""The `gridloom` command: reads settings, builds objects, starts them.

Each command is a file; heavy rooms are imported inside commands so that `gridloom --help` stays quick.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line and leave with its exit code."""
    from gridloom.cli.main import main as run_main

    run_main()
