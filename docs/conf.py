"""Sphinx settings of the documentation site: ``nox -s site`` builds it into ``runs/site``.

The source folder is the root of the repository, so that pages keep the links that they have there.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx
from sphinx.util.inspect import stringify_signature

import mnistzip

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "site"))  # extensions of this project

project = "mnistzip"
version = release = mnistzip.__version__
language = "en"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_nb",
    "sphinx_copybutton",
    "command_reference",
    "linked_files",
    "source_links",
    "mathml",
]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**", "pretrained/*.md", "js/README.md", "engine/micro/README.md", "examples/*/README.md"]
exclude_patterns = [".*", "**/.*", "build", "dist", "runs", "**/node_modules"]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}

# Pages in Markdown read the same on GitHub: anchors of headings are those that GitHub makes.
myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]
html_math_renderer = "mathml"
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # notebooks have no widgets, whose scripts would come from a network

# Docstrings are of the style of Google. The site needs none of the libraries that plugins are for.
autodoc_mock_imports = ["numcodecs", "pyarrow", "ray", "torch", "zarr"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_attr_annotations = False
nitpicky = True
nitpick_ignore_regex = [
    ("py:class", r"(numpy|pathlib)\..*"),
    ("py:(mod|data)", r"mnistzip\.(coding|limits|models|plugins)\b.*"),  # modules below the public functions have no page
]

html_theme = "furo"
html_title = f"mnistzip {release}"
html_static_path = ["site/site.css"]
html_css_files = ["site.css"]
html_extra_path = ["site/root"]  # index.html at the root leads to the first page
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True


def complete_navigation(_app: Sphinx, docname: str, source: list[str]) -> None:
    """List the notes below their index, which needs no such list on GitHub, and notebooks only if there are some."""
    if docname == "docs/notes/README":
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n20*\n```\n"
    if docname == "docs/index" and not any(HERE.glob("notebooks/*.ipynb")):
        source[0] = source[0].replace("   notebooks/*\n", "")


def show_constructor(
    _app: Sphinx, what: str, _name: str, member: Any, _options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Give a class of a plugin the signature of its constructor: its base, which is left out, hides it."""
    if what == "class" and signature == "(*args, **kwargs)":
        wanted = inspect.signature(member.__init__)
        signature = stringify_signature(wanted.replace(parameters=[*wanted.parameters.values()][1:]), show_annotation=False)
    return signature, returns


def setup(app: Sphinx) -> None:
    """Register what no extension has."""
    app.connect("autodoc-process-signature", show_constructor)
    app.connect("source-read", complete_navigation)
    for dump in ("hex", "archive"):  # languages of the examples in FORMAT.md
        app.add_lexer(dump, TextLexer)
