"""Man pages of the command and its subcommands, from the same source as the help."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from mnistzip import __version__
from mnistzip.cli import help as pages, help_sections

Section = tuple[str, list[str]]  # title, and lines of roff

EXIT_STATUS = (
    ("0", "Success."),
    ("1", "An error: a line on stderr describes it. Other inputs are processed."),
    ("2", "The command line is wrong."),
    ("130", "The command was interrupted."),
)
FILES = (
    (
        "$XDG_DATA_HOME/mnistzip/models",
        "Models that `mnistzip models --add` has installed. Default: ~/.local/share/mnistzip/models.",
    ),
)
ENVIRONMENT = (
    ("MNISTZIP_ENGINE", "Engine that computes, numpy or native; the bytes and pixels do not depend on it."),
    ("MNISTZIP_MODEL_PATH", "Model files and folders of model files, separated as in PATH."),
    ("XDG_DATA_HOME", "The folder of models and desktop files of this user. Default: ~/.local/share."),
    ("NO_COLOR", "If set, `mnistzip show` draws with letters."),
)


def man_pages(group: click.Group) -> dict[str, bytes]:
    """File name and content of each page: ``mnistzip.1``, and one for each subcommand that is not hidden."""
    with click.Context(group, info_name="mnistzip", **group.context_settings) as ctx:
        names = [name for names in help_sections.OVERVIEW.values() for name in names]
        made = {"mnistzip.1": _overview(group, ctx)}
        for name in names:
            command = group.get_command(ctx, name)
            assert command is not None
            with click.Context(command, info_name=name, parent=ctx) as inner:
                made[f"mnistzip-{name}.1"] = _page(command, inner, names)
    return {name: page.encode() for name, page in made.items()}


def _overview(group: click.Group, ctx: click.Context) -> str:
    commands = list(pages.command_groups(group, ctx))
    lines = [line for title, rows in commands for line in (f".SS {escape(title)}", *_definitions(rows))]
    middle = [
        ("COMMANDS", lines),
        ("OPTIONS", _definitions(pages.option_rows(group, ctx))),
    ]
    others = [f"mnistzip-{name}" for _, rows in commands for name, _ in rows]
    return _assemble("mnistzip", group, ctx, "compress small greyscale images", middle, help_sections.OVERVIEW_EXAMPLES, others)


def _page(command: click.Command, ctx: click.Context, names: list[str]) -> str:
    lines = []
    for title, rows in pages.option_groups(command, ctx):
        lines += [f".SS {escape(title)}", *_definitions(rows)]
    others = ["mnistzip", *(f"mnistzip-{name}" for name in names if name != command.name)]
    purpose = command.get_short_help_str(80).rstrip(".")
    name = f"mnistzip-{command.name}"
    return _assemble(
        name, command, ctx, purpose[0].lower() + purpose[1:], [("OPTIONS", lines)], pages.examples(command), others
    )


def _assemble(
    name: str,
    command: click.Command,
    ctx: click.Context,
    purpose: str,
    middle: list[Section],
    examples: tuple[help_sections.Example, ...],
    others: list[str],
) -> str:
    usage = " ".join(command.collect_usage_pieces(ctx))
    sections: list[Section] = [
        ("NAME", [f"{escape(name)} \\- {escape(purpose)}"]),
        ("SYNOPSIS", [f".B {escape(ctx.command_path)}", escape(usage)]),
        ("DESCRIPTION", list(_paragraphs(pages.help_text(command)))),
        *middle,
        ("EXIT STATUS", _definitions(EXIT_STATUS)),
        ("EXAMPLES", list(_examples(examples))),
        ("FILES", _definitions(FILES)),
        ("ENVIRONMENT", _definitions(ENVIRONMENT)),
        ("SEE ALSO", [f".BR {escape(other)} (1)," for other in others[:-1]] + [f".BR {escape(others[-1])} (1)"]),
    ]
    lines = [f'.TH {name.upper()} 1 "" "mnistzip {__version__}" "mnistzip manual"']
    for title, content in sections:
        lines += [f".SH {title}", *content]
    return "\n".join(lines) + "\n"


def _definitions(rows: tuple[pages.Row, ...] | list[pages.Row]) -> list[str]:
    """A tagged paragraph for each row."""
    lines = []
    for name, description in rows:
        lines += [".TP", f".B {escape(name)}", escape(" ".join(description.split())) or "\\&"]
    return lines


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ".PP"
        yield escape(" ".join(paragraph.split()))


def _examples(several: tuple[help_sections.Example, ...]) -> Iterator[str]:
    """Each example: its purpose and its command line."""
    for number, example in enumerate(several):
        if example.purpose:
            yield from [".PP"] * (number > 0)
            yield escape(example.purpose) + ("" if example.purpose[-1] in "?." else ":")
        yield from (".PP", ".RS 4", ".EX", escape(example.line), ".EE", ".RE")


def escape(text: str) -> str:
    """Text that roff prints unchanged: no escapes, no requests, hyphens that can be copied as options."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("~", "\\(ti").replace("^", "\\(ha")
    text = re.sub(r"[^\x00-\x7f]", lambda match: f"\\[u{ord(match[0]):04X}]", text)
    return f"\\&{text}" if text.startswith((".", "'")) else text
