"""Print the floors of the project: its rooms in the order of their imports, as pyproject.toml states it.

    python tools/floors.py            # the table
    python tools/floors.py --write    # the table in CONTRIBUTING.md, between its markers

The order is that of the first import contract of type ``layers``. The purpose of a room is the first sentence of its docstring.
"""

from __future__ import annotations

import argparse
import ast
import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- floors: written by tools/floors.py -->", "<!-- /floors -->"


def source(module: str, folders: dict[str, str], root: Path = ROOT) -> Path:
    """The file that ``module`` is imported from, given setuptools' ``package-dir``."""
    package = max((name for name in folders if module == name or module.startswith(f"{name}.")), key=len)
    path = root.joinpath(folders[package], *module.removeprefix(package).split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def purpose(path: Path) -> str:
    """The first sentence of the docstring of a Python file."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not text:
        raise SystemExit(f"{path}: has no docstring")
    paragraph = " ".join(text.split("\n\n")[0].split())
    sentence = re.split(r"(?<=\.)\s", paragraph)[0].removesuffix(".")
    return re.sub(r":\w+:`~?([^`]*)`", r"`\1`", sentence.replace("``", "`")).replace("|", "\\|")


def floors(project: dict[str, Any]) -> list[list[str]]:
    """The modules of each floor, the highest floor first."""
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(contract for contract in contracts if contract["type"] == "layers")["layers"]
    return [[module.strip() for module in re.split(r"[|:]", layer)] for layer in layers]


def table(root: Path = ROOT) -> str:
    """The floors as a Markdown table."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    folders = project["tool"]["setuptools"]["package-dir"]
    levels = floors(project)
    lines = ["| floor | import name | source | purpose |", "|---|---|---|---|"]
    for number, modules in zip(range(len(levels), 0, -1), levels, strict=True):
        for module in modules:
            path = source(module, folders, root)
            where = path.relative_to(root).as_posix().removesuffix("__init__.py")
            lines.append(f"| {number} | `{module}` | `{where}` | {purpose(path)} |")
    return "\n".join(lines) + "\n"


def page_with(page: str, text: str) -> str:
    """``page`` with ``text`` between its markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE}: the markers {BEGIN} and {END} are missing")
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"


def main() -> None:
    """Print the table, or write it into CONTRIBUTING.md."""
    parser = argparse.ArgumentParser(description="Print the floors of the project.")
    parser.add_argument("--write", action="store_true", help="write the table into CONTRIBUTING.md")
    if parser.parse_args().write:
        PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), table()), encoding="utf-8")
    else:
        print(table(), end="")


if __name__ == "__main__":
    main()
