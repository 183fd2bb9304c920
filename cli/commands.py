"""The subcommands of ``mnistzip`` and the modules that define them.

Main, help pages, suggestions and completion use this table; it imports nothing, so that none of them imports another.
"""

from __future__ import annotations

COMMANDS = {
    "compress": "mnistzip.cli.compress",
    "decompress": "mnistzip.cli.decompress",
    "info": "mnistzip.cli.info",
    "test": "mnistzip.cli.info",
    "models": "mnistzip.cli.info",
    "show": "mnistzip.cli.view",
    "compare": "mnistzip.cli.view",
    "demo": "mnistzip.cli.demo",
    "bench": "mnistzip.cli.bench",
    "train": "mnistzip.cli.train",
    "export": "mnistzip.cli.export",
    "integrate": "mnistzip.cli.integrate",
    "help": "mnistzip.cli.help",
    "thumbnail": "mnistzip.cli.thumbnail",
}
COMPLETION_VARIABLE = "_MNISTZIP_COMPLETE"  # environment variable that a shell sets to ask for completions
