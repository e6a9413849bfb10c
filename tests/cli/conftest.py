"""Commands run in this process: their exit code, the one object on standard output, the words on standard error."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import structlog
from tests.control_room.district import district

from gridloom.cli.main import run_command
from gridloom.grid import save


class Said(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """Standard error without the line breaks of a narrow terminal."""
        return " ".join(self.err.split())

    @property
    def result(self) -> dict[str, Any]:
        """The one JSON object on standard output; anything else there fails."""
        assert self.out.count("\n") == 1, f"not one line: {self.out[:200]!r}, {self.err}"
        result = msgspec.json.decode(self.out)
        assert isinstance(result, dict)
        return result


def gridloom(*arguments: str | Path) -> Said:
    """Run `gridloom ...` in this process and return what it said."""
    with _captured() as (out, err):
        code = run_command([str(argument) for argument in arguments])
        out.flush()
        err.flush()
        said = Said(code, _text(out), _text(err))
    assert "Traceback" not in said.err
    return said


@contextmanager
def _captured() -> Iterator[tuple[io.TextIOWrapper, io.TextIOWrapper]]:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    handlers = list(logging.root.handlers)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            yield out, err
    finally:
        # A command sets up logging for its whole process; here the process is pytest's.
        structlog.reset_defaults()
        logging.root.handlers[:] = handlers


def _text(stream: io.TextIOWrapper) -> str:
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()


@pytest.fixture(scope="session")
def grid_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small district as a file of our own."""
    path = tmp_path_factory.mktemp("grid") / "district.gridloom"
    save(district(), path)
    return path


@pytest.fixture(scope="session")
def stepped(grid_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Said, Path]:
    """A short stepped run: what it said and its folder."""
    folder = tmp_path_factory.mktemp("stepped")
    clock = ("--clock", "stepped", "--duration", "20", "--fault", "MV line 1.2@4")
    return gridloom("run", "--grid", grid_file, *clock, "--data", folder, "--json"), folder
