"""Help pages with groups of options and examples, and the command ``mnistzip help``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence

import click

from mnistzip.cli import help_sections
from mnistzip.cli.commands import COMMANDS

NAME_WIDTH = 28  # columns for names of options; a longer name has a separate line

Row = tuple[str, str]


def write_page(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Write the help of a subcommand."""
    command.format_usage(ctx, formatter)
    command.format_help_text(ctx, formatter)
    groups = list(option_groups(command, ctx))
    width = min(NAME_WIDTH, max((len(name) for _, rows in groups for name, _ in rows), default=0))
    for title, rows in groups:
        _write_rows(formatter, title, rows, width)
    _write_examples(formatter, examples(command))


def write_overview(group: click.Group, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Write the help of ``mnistzip``: its commands in groups."""
    group.format_usage(ctx, formatter)
    group.format_help_text(ctx, formatter)
    options = option_rows(group, ctx)
    width = max(len(name) for name in [*COMMANDS, *dict(options)])
    for title, rows in command_groups(group, ctx):
        _write_rows(formatter, title, rows, width)
    _write_rows(formatter, "Options", options, width)
    _write_examples(formatter, help_sections.OVERVIEW_EXAMPLES)
    formatter.write_paragraph()
    formatter.write_text("The options of a command: mnistzip COMMAND --help")


def command_groups(group: click.Group, ctx: click.Context) -> Iterator[tuple[str, list[Row]]]:
    """Title of each group, with name and purpose of each command that is not hidden."""
    for title, names in help_sections.OVERVIEW.items():
        commands = {name: group.get_command(ctx, name) for name in names}
        yield title, [(name, command.get_short_help_str(80)) for name, command in commands.items() if command]


def option_groups(command: click.Command, ctx: click.Context) -> Iterator[tuple[str, list[Row]]]:
    """Title of each group, with names and description of each option; options without a group come last."""
    left = {max(option.opts, key=len): option for option in _options(command, ctx)}
    page = help_sections.PAGES.get(command.name or "")
    for title, names in page.groups.items() if page else ():
        rows = [option_row(left.pop(name), ctx) for name in names if name in left]
        if rows:
            yield title, rows
    if left:
        yield help_sections.OTHER, [option_row(option, ctx) for option in left.values()]


def option_rows(command: click.Command, ctx: click.Context) -> list[Row]:
    """All options of a command, in the order of its definition."""
    return [option_row(option, ctx) for option in _options(command, ctx)]


def examples(command: click.Command) -> tuple[help_sections.Example, ...]:
    """The examples of a command."""
    page = help_sections.PAGES.get(command.name or "")
    return page.examples if page else ()


def option_row(option: click.Option, ctx: click.Context) -> Row:
    """Names and placeholder of an option, and its description with default and range."""
    names = ", ".join(sorted(option.opts, key=len))
    value = "" if option.is_flag or option.count else " " + _placeholder(option)
    notes = "; ".join(_notes(option, ctx))
    return names + value, "  ".join(part for part in (option.help, notes and f"[{notes}]") if part)


def help_text(command: click.Command) -> str:
    """The description of a command: paragraphs, separated by empty lines."""
    return inspect.cleandoc(command.help or "")


def _options(command: click.Command, ctx: click.Context) -> list[click.Option]:
    return [option for option in command.get_params(ctx) if isinstance(option, click.Option) and not option.hidden]


def _placeholder(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return "|".join(map(str, option.type.choices))
    if isinstance(option.type, click.types.IntParamType | click.types.FloatParamType):
        return "N"
    if isinstance(option.type, click.Path):
        return "PATH" if option.type.file_okay else "DIR"
    return max(option.opts, key=len).lstrip("-").upper()


def _notes(option: click.Option, ctx: click.Context) -> Iterator[str]:
    kind = option.type
    if isinstance(kind, click.IntRange | click.FloatRange) and kind.min is not None and kind.max is not None:
        yield f"{kind.min} to {kind.max}"
    if option.show_default:
        default = option.get_default(ctx, call=False)
        yield f"default: {' '.join(map(str, default)) if isinstance(default, tuple) else default}"
    if option.required:
        yield "required"


def _write_rows(formatter: click.HelpFormatter, title: str, rows: Sequence[Row], width: int) -> None:
    """Write a list of names and descriptions, with names of at least ``width`` columns."""
    with formatter.section(title):
        formatter.write_dl([(name.ljust(width), description) for name, description in rows], col_max=width + 2)


def _write_examples(formatter: click.HelpFormatter, several: Sequence[help_sections.Example]) -> None:
    if not several:
        return
    with formatter.section("Examples"):
        for example in several:
            if example.purpose:
                formatter.write(f"{'':>{formatter.current_indent}}# {example.purpose}\n")
            formatter.write(f"{'':>{formatter.current_indent}}{example.line}\n")


@click.command(short_help="Show the help of a command.")
@click.argument("command", required=False)
@click.pass_context
def help(ctx: click.Context, command: str | None) -> None:  # noqa: A001 -- name of the command
    """Show the help of COMMAND, as `mnistzip COMMAND --help` does; without COMMAND, list all commands."""
    parent = ctx.parent
    assert parent is not None
    assert isinstance(parent.command, click.Group)
    if command is None:
        click.echo(parent.get_help())
        return
    name, subcommand, _ = parent.command.resolve_command(parent, [command])
    assert subcommand is not None
    with click.Context(subcommand, info_name=name, parent=parent) as inner:
        click.echo(subcommand.get_help(inner))
