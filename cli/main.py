"""The ``mnistzip`` command: finds its subcommands, and turns errors into one line and an exit code.

Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from contextlib import suppress
from typing import Any, NoReturn

import click

from mnistzip.errors import MnistzipError
from mnistzip.names import shown

COMMANDS = {
    "compress": "mnistzip.cli.compress",
    "decompress": "mnistzip.cli.decompress",
    "info": "mnistzip.cli.inspect",
    "test": "mnistzip.cli.inspect",
    "models": "mnistzip.cli.inspect",
    "show": "mnistzip.cli.look",
    "compare": "mnistzip.cli.look",
    "bench": "mnistzip.cli.bench",
    "train": "mnistzip.cli.train",
}


class LazyGroup(click.Group):
    """Imports a subcommand when it is asked for, so that none pays for another's imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        # numpy is not loaded yet: its matrices are small, and threads of its own would only wait. torch has threads apart.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        command = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name)
        assert isinstance(command, click.Command)
        return command


def _version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from mnistzip import __version__

        click.echo(f"mnistzip {__version__}, format 1")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-V", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def cli() -> None:
    """Compress small greyscale images, a digit to some 23 bytes, with a learned codec."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    if sys.stdout is not None:
        return _run(arguments)
    sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")  # it was closed: who writes to it is to be told so
    try:
        return _run(arguments)
    finally:
        with suppress(OSError):
            sys.stdout.close()
        sys.stdout = None


def _run(arguments: list[str] | None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be text
    try:
        result: Any = cli.main(arguments, prog_name="mnistzip", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("mnistzip: interrupted", err=True)
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; let nothing be written to it while Python shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (MnistzipError, OSError) as error:
        click.echo(f"mnistzip: {one_line(error)}", err=True)
        return 1
    except UnicodeEncodeError as error:
        click.echo(
            f"mnistzip: {error.object!a} cannot be written where the locale is {error.encoding}: set LC_ALL=C.UTF-8",
            err=True,
        )
        return 1
    except MemoryError:
        click.echo("mnistzip: not enough memory", err=True)
        return 1
    return result if isinstance(result, int) else 0


def blame(name: str, error: BaseException) -> str:
    """One line on stderr for an error of one of several inputs."""
    name, line = shown(" ".join(name.split())), one_line(error)
    return f"mnistzip: {line}" if name in line else f"mnistzip: {name}: {line}"


def one_line(error: BaseException) -> str:
    """The message of an error, on one line; for errors of the system without their numbers."""
    told = str(error)
    if isinstance(error, OSError) and error.strerror:
        told = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return shown(" ".join(told.split()))
