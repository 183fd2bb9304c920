"""``python -m mnistzip``."""

from mnistzip.cli.main import main

main()
