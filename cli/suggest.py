"""Suggestions for command lines whose first word is not a command."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

import click

from mnistzip.archive.entry_names import shown
from mnistzip.bitstream.container import is_cae
from mnistzip.cli.commands import COMMANDS
from mnistzip.io.image_file import SUFFIX

SYNONYMS = {
    "benchmark": "bench",
    "check": "test",
    "decode": "decompress",
    "diff": "compare",
    "display": "show",
    "encode": "compress",
    "expand": "decompress",
    "extract": "decompress",
    "list": "info",
    "ls": "info",
    "open": "show",
    "pack": "compress",
    "unpack": "decompress",
    "unzip": "decompress",
    "verify": "test",
    "view": "show",
    "zip": "compress",
}
CLOSE = 0.7  # similarity of difflib: accepts a missing, doubled or swapped letter, but not another word


def unknown_command(arguments: Sequence[str], ctx: click.Context) -> click.UsageError:
    """The error for a command line whose first word is not a command, with the most similar command line."""
    word = arguments[0]
    if os.path.exists(word) or "://" in word:
        return click.UsageError(f"{shown(word)} is {_kind(word)}, not a command. Did you mean: {_for_file(arguments)}", ctx)
    command = nearest(word)
    hint = f" Did you mean: {_line([command, *arguments[1:]])}" if command else ""
    return click.UsageError(f"No such command {word!r}.{hint}", ctx)


def misplaced_option(error: click.NoSuchOption, arguments: Sequence[str], ctx: click.Context) -> click.UsageError:
    """The error for an option before the command."""
    command = next((word for word in arguments if word in COMMANDS), None)
    if command is not None:
        rest = list(arguments)
        rest.remove(command)
        return click.UsageError(f"{error.option_name} comes before the command. Did you mean: {_line([command, *rest])}", ctx)
    file = next((word for word in arguments if os.path.isfile(word)), None)
    if file is not None:
        return click.UsageError(f"There is no command. Did you mean: {_line([_command_for(file), *arguments])}", ctx)
    return error


def nearest(word: str) -> str | None:
    """The command with a similar name or meaning, or None."""
    from difflib import get_close_matches  # most command lines do without

    word = word.lower()
    close = get_close_matches(word, [*COMMANDS, *SYNONYMS], n=1, cutoff=CLOSE)
    if not close:
        return next((command for command in COMMANDS if len(word) > 2 and command.startswith(word)), None)
    return SYNONYMS.get(close[0], close[0])


def _for_file(arguments: Sequence[str]) -> str:
    name = arguments[0]
    if os.path.isdir(name):
        return _line(["compress", "-r", *arguments])
    return _line([_command_for(name), *arguments])


def _command_for(name: str) -> str:
    return "decompress" if _is_compressed(name) else "compress"


def _is_compressed(name: str) -> bool:
    """Whether a file is a ``.cae`` file: by its first bytes, or by its name if it cannot be read."""
    try:
        with open(name, "rb") as file:
            return is_cae(file.read(2))
    except OSError:
        return name.lower().endswith(SUFFIX)


def _kind(name: str) -> str:
    if "://" in name:
        return "an address"
    return "a folder" if os.path.isdir(name) else "a file"


def _line(words: Sequence[str]) -> str:
    return "mnistzip " + shown(shlex.join(words))
