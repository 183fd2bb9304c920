"""The ``mnistzip`` command: finds its subcommands, and turns errors into one line and an exit code.

Exit codes: 0 success, 1 error, 2 wrong usage, 130 interrupted.

Every call imports this module, so it is small. Help pages, suggestions and shell completion are imported when needed.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from contextlib import suppress
from typing import Any, NoReturn

import click

from mnistzip.cli.commands import COMMANDS, COMPLETION_VARIABLE
from mnistzip.cli.messages import one_line
from mnistzip.errors import MnistzipError


class Command(click.Command):
    """A subcommand whose help has groups of options and examples, and whose options refuse empty values."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        values, _, _ = self.make_parser(ctx).parse_args(list(args))
        for option in self.params:
            if isinstance(option, click.Option) and values.get(str(option.name)) == "":
                raise click.UsageError(f"{option.opts[-1]} is empty: give a value or leave out the option", ctx)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from mnistzip.cli.help import write_page

        write_page(self, ctx, formatter)


class LazyGroup(click.Group):
    """A group that imports a subcommand when it is called, so that no command waits for the imports of another."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        # Set before numpy is loaded: threads do not pay for small matrices. torch has threads of its own.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        definition = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name)
        assert isinstance(definition, click.Command)
        command = Command(definition.name)
        vars(command).update(vars(definition))
        if COMPLETION_VARIABLE in os.environ:
            from mnistzip.cli.completion import complete_paths

            complete_paths(command)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            from mnistzip.cli.suggest import unknown_command

            raise unknown_command(args, ctx)
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:  # click 8.1 would exit with 0
            click.echo(ctx.get_help(), err=True)
            ctx.exit(2)
        arguments = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            from mnistzip.cli.suggest import misplaced_option

            raise misplaced_option(error, arguments, ctx) from None

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from mnistzip.cli.help import write_overview

        write_overview(self, ctx, formatter)


def _print_version(ctx: click.Context, _parameter: click.Parameter, is_set: bool) -> None:
    if is_set:
        from mnistzip import __version__, engine

        click.echo(f"mnistzip {__version__}, format 1\nengine: {engine()}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-V",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Compress small greyscale images with a learned codec: a handwritten digit takes 12 to 34 bytes."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and end the process with its exit code."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    if sys.stdout is not None:
        return _run(arguments)
    sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")  # stdout is closed: writing must fail
    try:
        return _run(arguments)
    finally:
        with suppress(OSError):
            sys.stdout.close()
        sys.stdout = None


def _run(arguments: list[str] | None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may hold bytes that are not text
    try:
        result: Any = cli.main(arguments, prog_name="mnistzip", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("mnistzip: interrupted", err=True)
        return 130
    except BrokenPipeError:
        # The reader of stdout has gone: discard what Python flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (MnistzipError, OSError) as error:
        click.echo(f"mnistzip: {one_line(error)}", err=True)
        return 1
    except UnicodeEncodeError as error:
        click.echo(
            f"mnistzip: the locale's encoding {error.encoding} cannot hold {error.object!a}: set LC_ALL=C.UTF-8",
            err=True,
        )
        return 1
    except MemoryError:
        click.echo("mnistzip: not enough memory", err=True)
        return 1
    return result if isinstance(result, int) else 0
