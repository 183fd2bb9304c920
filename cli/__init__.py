"""The command line: thin commands over :mod:`mnistzip`. Errors become one line on stderr and an exit code."""
