"""Error messages on one line of stderr."""

from __future__ import annotations

from mnistzip.archive.entry_names import shown


def format_error(name: str, error: BaseException) -> str:
    """The line for stderr about an error in the input ``name``, one of several."""
    name, message = shown(" ".join(name.split())), one_line(error)
    return f"mnistzip: {message}" if name in message else f"mnistzip: {name}: {message}"


def one_line(error: BaseException) -> str:
    """The message of an error on one line; messages of the operating system lose their error numbers."""
    message = str(error)
    if isinstance(error, OSError) and error.strerror:
        message = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return shown(" ".join(message.split()))
