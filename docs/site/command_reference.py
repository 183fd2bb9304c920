"""The directive ``command-reference``: all commands with their options and examples, from the same source as ``--help``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from mnistzip.cli import help as pages, help_sections, manpages
from mnistzip.cli.commands import COMMANDS
from mnistzip.cli.main import cli

TABLES = {
    "Exit codes": manpages.EXIT_STATUS,
    "Environment variables": manpages.ENVIRONMENT,
    "Files": manpages.FILES,
}
OPTION = re.compile(r"(?<![\w-])--?[a-zA-Z][\w-]*")
SPECIAL = re.compile(r"[\\*|_@]")


class CommandReference(SphinxDirective):
    """A section for each command."""

    def run(self) -> list[nodes.Node]:
        for module in ("help", "help_sections", "main", "manpages", "params"):
            self.env.note_dependency(f"cli/{module}.py")
        for module in COMMANDS.values():
            self.env.note_dependency(f"cli/{module.rpartition('.')[2]}.py")
        return self.parse_text_to_nodes("\n".join(reference()), allow_section_headings=True)


def reference() -> Iterator[str]:
    """The lines of the page, as reStructuredText."""
    with click.Context(cli, info_name="mnistzip", **cli.context_settings) as ctx:
        yield from _section("mnistzip", cli, ctx, [("Options", pages.option_rows(cli, ctx))], help_sections.OVERVIEW_EXAMPLES)
        for name in COMMANDS:
            command = cli.get_command(ctx, name)
            assert command is not None
            with click.Context(command, info_name=name, parent=ctx) as inner:
                yield from _section(
                    f"mnistzip {name}", command, inner, pages.option_groups(command, inner), pages.examples(command)
                )
    for title, rows in TABLES.items():
        yield from _title(title)
        for name, description in rows:
            yield from (f"``{name}``", f"  {_escape(description)}", "")


def _section(
    title: str,
    command: click.Command,
    ctx: click.Context,
    groups: Iterable[tuple[str, list[pages.Row]]],
    examples: tuple[help_sections.Example, ...],
) -> Iterator[str]:
    yield from _title(title)
    yield from _block("text", [" ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])])
    for paragraph in pages.help_text(command).split("\n\n"):
        yield from (_escape(" ".join(paragraph.split())), "")
    yield from (f".. program:: {title}", "")
    for group, rows in groups:
        yield from (f".. rubric:: {group}", "")
        for names, description in rows:
            yield from (f".. option:: {names}", "", f"   {_escape(' '.join(description.split()))}", "")
    if examples:
        yield from (".. rubric:: Examples", "")
        comments = [([f"# {example.purpose}"] if example.purpose else []) + [example.line] for example in examples]
        yield from _block("sh", [line for lines in comments for line in lines])


def _title(text: str) -> Iterator[str]:
    yield from (text, "-" * len(text), "")


def _block(language: str, lines: Iterable[str]) -> Iterator[str]:
    yield from (f".. code-block:: {language}", "", *(f"   {line}" for line in lines), "")


def _escape(text: str) -> str:
    """Text of the help as reStructuredText: what is between backticks is code, and so are options."""
    parts = text.split("`")
    parts[::2] = [OPTION.sub(r"``\g<0>``", SPECIAL.sub(r"\\\g<0>", part)) for part in parts[::2]]
    return "``".join(parts)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive with Sphinx."""
    app.add_directive("command-reference", CommandReference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
