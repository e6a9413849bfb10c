"""The command tree and the one place where errors become words and exit codes."""

from __future__ import annotations

import sys

from cyclopts import App, CycloptsError

from gridloom import __version__
from gridloom.cli import bench, estimate, field, grid, journal, platform, powerflow, run
from gridloom.cli.output import BAD_INPUT, DONE, console, exit_code
from gridloom.core.errors import GridloomError

app = App(name="gridloom", version=__version__, help="The operating system of an energy internet.")
app.command(run.run)
app.command(field.field)
app.command(platform.platform)
app.command(grid.app)
app.command(powerflow.powerflow)
app.command(estimate.estimate)
app.command(journal.app)
app.command(bench.bench)
app.register_install_completion_command()


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run_command(sys.argv[1:] if arguments is None else arguments))


def run_command(arguments: list[str]) -> int:
    """Run one command and return its exit code; errors are words on standard error, never a traceback."""
    try:
        result = app(
            arguments, exit_on_error=False, print_error=False, result_action="return_value"
        )
    except CycloptsError as error:
        console.print(
            f"gridloom: {error}\nTry [bold]gridloom {' '.join(arguments[:1])} --help[/bold]",
            soft_wrap=True,
        )
        return BAD_INPUT
    except GridloomError as error:
        console.print(f"gridloom: {error}", markup=False, soft_wrap=True)
        return exit_code(error)
    except KeyboardInterrupt:
        console.print("gridloom: stopped by the keyboard", markup=False)
        return 130
    except BrokenPipeError:
        return DONE
    return result if isinstance(result, int) else DONE
