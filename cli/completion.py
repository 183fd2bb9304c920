"""Completion of command lines in bash, zsh and fish: the scripts, and file names for options that take files."""

from __future__ import annotations

from copy import copy

import click
from click.shell_completion import get_completion_class

from mnistzip.cli.commands import COMPLETION_VARIABLE

SHELLS = {
    "bash": "bash-completion/completions/mnistzip",
    "zsh": "zsh/site-functions/_mnistzip",
    "fish": "fish/vendor_completions.d/mnistzip.fish",
}
PATH_METAVARS = {"PATH", "FILE", "DIR", "NAME|PATH"}  # of options whose values are files


def script(shell: str, group: click.Group) -> bytes:
    """The completion file of one of :data:`SHELLS`."""
    kind = get_completion_class(shell)
    assert kind is not None
    complete = kind(group, {}, "mnistzip", COMPLETION_VARIABLE)
    return (complete.source_template % complete.source_vars()).encode()


def complete_paths(command: click.Command) -> None:
    """Complete arguments and options that take files to file names."""
    command.params = [copy(parameter) for parameter in command.params]
    for parameter in command.params:
        takes_path = isinstance(parameter, click.Argument) or parameter.metavar in PATH_METAVARS
        if takes_path and parameter.type is click.STRING:
            parameter.type = click.Path()
