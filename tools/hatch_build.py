"""Put the built front end into every wheel and sdist.

An editable install needs none, and an sdist already carries it, so that only a build from a
checkout needs Node.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class FrontEndHook(BuildHookInterface):
    """Run tools/build_ui.py before files are collected."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Build the front end, or stop with a sentence that says what is missing."""
        root = Path(self.root)
        page = root / "src/gridloom/control_room/static/index.html"
        if version == "editable" or page.is_file():
            return
        tool = root / "tools/build_ui.py"
        done = subprocess.run([sys.executable, str(tool), "--no-install"], cwd=root, check=False)
        if done.returncode or not page.is_file():
            message = (
                "the front end is not built: install Node 22 and run `make ui`, then build again"
            )
            raise RuntimeError(message)
