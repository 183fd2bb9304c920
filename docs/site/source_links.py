"""Links from the signatures of the API reference to the listings of their source code."""

from __future__ import annotations

import importlib
import inspect
from functools import reduce
from pathlib import Path
from typing import Any

from docutils import nodes
from linked_files import link_to_listing
from sphinx.addnodes import desc_signature
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

PACKAGE = "mnistzip"
CODEC = "codec"  # the folder of the package
FOLDERS = ("bench", "cli", "plugins", "pretrained", "training")  # of packages below it that are not in its folder


class LinkSources(SphinxTransform):
    """Add a link to the signature of each function, class and method of the package."""

    default_priority = 400

    def apply(self, **_options: Any) -> None:
        for signature in self.document.findall(desc_signature):
            if found := source_of(signature.get("module") or "", signature.get("fullname") or ""):
                path, line = found
                uri = f"{link_to_listing(self.app, str(Path(self.env.srcdir, path)))}#line-{line}"
                text = nodes.inline("", "[source]", classes=["viewcode-link"])
                signature.append(nodes.reference("", "", text, internal=True, refuri=uri))


def source_of(module: str, name: str) -> tuple[str, int] | None:
    """File in the repository and line where something is defined; None if it is a value, or not of the package."""
    if module.partition(".")[0] != PACKAGE:
        return None
    try:
        found = reduce(getattr, name.split("."), importlib.import_module(module))
        found = inspect.unwrap(found.fget if isinstance(found, property) else found)
        line = inspect.getsourcelines(found)[1]
    except (AttributeError, TypeError, OSError):
        return None
    source = inspect.getmodule(found)
    package, *names = source.__name__.split(".") if source else [""]
    if package != PACKAGE or not names:
        return None
    path = Path(*names) if names[0] in FOLDERS else Path(CODEC, *names)
    return str(path / "__init__.py" if hasattr(source, "__path__") else path.with_suffix(".py")), line


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.add_transform(LinkSources)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
