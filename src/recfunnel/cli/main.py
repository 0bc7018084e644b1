"""The recfunnel command: parse, call study, print.

Exit codes: 0 ok, 1 target or check missed, 2 usage or bad input, 130 stopped by the user.
"""

import sys
from collections.abc import Sequence
from typing import NoReturn

import cyclopts
from rich.console import Console

from recfunnel.cli.accel import app as accel
from recfunnel.cli.bench import app as bench
from recfunnel.cli.compact import compact
from recfunnel.cli.explain import explain
from recfunnel.cli.reproduce import app as reproduce
from recfunnel.cli.serve import serve
from recfunnel.cli.verbs import app
from recfunnel.core.errors import RecfunnelError

app.command(accel)
app.command(bench)
app.command(compact)
app.command(explain)
app.command(reproduce)
app.command(serve)

EXIT_OK = 0
EXIT_MISSED = 1
EXIT_BAD_INPUT = 2
EXIT_STOPPED = 130


def main() -> NoReturn:
    """Entry point of the `recfunnel` command."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; errors go to standard error."""
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        result = app(arguments, exit_on_error=False, print_error=False, error_console=errors)
    except cyclopts.CycloptsError as error:
        errors.print(f"error: {str(error).strip()}", style="red", markup=False)
        errors.print("try: recfunnel --help", markup=False)
        return EXIT_BAD_INPUT
    except RecfunnelError as error:
        errors.print(f"error: {error}", style="red", markup=False)
        return EXIT_BAD_INPUT
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        errors.print(f"error: {where}{error.strerror or error}", style="red", markup=False)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        errors.print("stopped; the same command goes on from the last complete step", markup=False)
        return EXIT_STOPPED
    return result if isinstance(result, int) else EXIT_OK
