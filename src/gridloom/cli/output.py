"""What a command prints and how it ends.

With `--json`, standard output is exactly one JSON object; everything else goes to standard error. Exit codes:
0 done (a solver that did not converge included), 1 something that is needed is missing, 2 bad input, 3 refused.
"""

from __future__ import annotations

import logging
import math
import sys
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.table import Table

from gridloom.core.errors import BadInput, GridloomError, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

DONE, MISSING, BAD_INPUT, REFUSED = 0, 1, 2, 3
_SHOWN = 20

console = Console(stderr=True, highlight=False)
"""For progress, hints and errors: standard error."""


def exit_code(error: GridloomError) -> int:
    """Return the exit code that stands for `error`."""
    if isinstance(error, Refused):
        return REFUSED
    return BAD_INPUT if isinstance(error, BadInput) else MISSING


def emit(result: Any, *, as_json: bool) -> None:  # noqa: ANN401 - any structure that msgspec can encode
    """Print a result: one JSON object, or a table for people."""
    plain = _finite(msgspec.to_builtins(result))
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(plain) + b"\n")
        sys.stdout.buffer.flush()
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _flat(plain):
        table.add_row(f"[bold]{name}[/bold]", _shown(value))
    Console(highlight=False).print(table)


def set_up_logs(*, verbose: bool) -> None:
    """Send all logs to standard error, as one line an event."""
    import structlog

    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(
        stream=sys.stderr,
        level=level if verbose else logging.WARNING,
        format="%(name)s: %(message)s",
    )
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )


def _finite(value: Any) -> Any:  # noqa: ANN401 - walks any JSON value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value


def _flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, item in value.items():
        if isinstance(item, dict):
            rows += _flat(item, f"{prefix}{key}.")
        elif isinstance(item, list | tuple) and item and isinstance(item[0], dict):
            for number, part in enumerate(item[:_SHOWN]):
                rows += _flat(part, f"{prefix}{key}[{number}].")
            if len(item) > _SHOWN:
                rows.append((f"{prefix}{key}", f"... {len(item) - _SHOWN} more; --json prints all"))
        else:
            rows.append((prefix + key, item))
    return rows


def _shown(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(_shown(item) for item in value[:_SHOWN]) + (
            " ..." if len(value) > _SHOWN else ""
        )
    return str(value)
