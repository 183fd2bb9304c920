"""ES modules as one plain script, which needs no address: a page can hold it, and a worker can run it.

It reads what our own modules are written in: ``import { a, b as c } from "./file.js";``, ``export { a } from "./file.js";``,
and ``export`` before a function, a class or a constant at the start of a line. Each module becomes a function that is called
once.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent  # the folders demo and js lie next to each other, in the repository and in the package
LIBRARY = "js/mnistzip.js"  # what the name "mnistzip" imports
IMPORT = re.compile(r'^import \{([^}]*)\} from "([^"]+)";\n', re.MULTILINE)
REEXPORT = re.compile(r'^export \{([^}]*)\} from "([^"]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async function|function|class|const) (\w+))", re.MULTILINE)
LEFT = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)
ADDRESS = '"file:///"'  # stands for import.meta.url: the page configures where files come from, so that nothing is fetched


def read(path: str) -> bytes:
    """The content of a file, ``demo/...`` or ``js/...``."""
    return (ROOT / path).read_bytes()


def bundle(entry: str) -> str:
    """The script of a module and of all that it imports.

    Raises:
        ValueError: modules import each other in a circle, or one is written in another way.
    """
    functions: dict[str, str] = {}
    _add(entry, functions, ())
    return '"use strict";\n' + "".join(functions.values())


def _add(path: str, functions: dict[str, str], importers: tuple[str, ...]) -> None:
    """Add the function of a module behind those of the modules that it imports."""
    if path in importers:
        raise ValueError(f"modules import each other in a circle: {' > '.join((*importers, path))}")
    if path in functions:
        return
    source = read(path).decode()
    exported = EXPORT.findall(source)

    def constants(match: re.Match[str]) -> str:
        target = LIBRARY if match[2] == "mnistzip" else posixpath.join(posixpath.dirname(path), match[2])
        target = posixpath.normpath(target)
        _add(target, functions, (*importers, path))
        names = re.sub(r"\s+as\s+", ": ", " ".join(match[1].split()))
        return f"const {{ {names} }} = {_name(target)};\n"

    def constants_exported(match: re.Match[str]) -> str:
        exported.extend(re.findall(r"\w+", match[1]))
        return constants(match)

    body = EXPORT.sub("", REEXPORT.sub(constants_exported, IMPORT.sub(constants, source)))
    left = LEFT.search(body)
    if left:
        raise ValueError(f"{path}: this import or export cannot be bundled: {left[0]}")
    body = body.replace("import.meta.url", ADDRESS)
    functions[path] = f"const {_name(path)} = (() => {{\n{body}return {{ {', '.join(exported)} }};\n}})();\n"


def _name(path: str) -> str:
    return "$" + re.sub(r"\W", "_", path)
