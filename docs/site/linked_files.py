"""Links from pages to files that are no pages, such as source code: the site gets a listing of each file.

In Markdown such a link is the path of the file in the repository. MyST makes it a download, which browsers show without colours
or not at all. Files that are not text stay downloads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments.lexers import find_lexer_class_for_filename
from sphinx.addnodes import download_reference
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.transforms import SphinxTransform

LISTINGS = "files"  # the folder of the listings on the site
KEY = "linked files"  # of the metadata of a page


class LinkListings(SphinxTransform):
    """Turn downloads of text files into links to their listings, before Sphinx copies the downloads."""

    default_priority = 400

    def apply(self, **_options: Any) -> None:
        for node in list(self.document.findall(download_reference)):
            _, path = self.env.relfn2path(node["reftarget"])
            if _text(path) is None:
                continue
            uri = link_to_listing(self.app, path)
            node.replace_self(nodes.reference("", "", *node.children, refuri=uri, internal=True))


def link_to_listing(app: Sphinx, path: str) -> str:
    """The link from the current page to the listing of a file, which the site gets. ``#line-N`` after it leads to a line."""
    page = app.env.docname
    name = f"{LISTINGS}/{os.path.relpath(path, app.env.srcdir)}"
    app.env.metadata[page].setdefault(KEY, {})[name] = path
    return app.builder.get_relative_uri(page, name)


def listings(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """A page for each file that pages link to."""
    assert isinstance(app.builder, StandaloneHTMLBuilder)
    linked: dict[str, str] = {}
    for metadata in app.env.metadata.values():
        linked |= metadata.get(KEY, {})
    for name, path in sorted(linked.items()):
        lexer = find_lexer_class_for_filename(path)
        title = name.removeprefix(f"{LISTINGS}/")
        listing = app.builder.highlighter.highlight_block(
            _text(path) or "", lexer.aliases[0] if lexer else "text", lineanchors="line"
        )
        yield name, {"title": title, "body": f"<h1>{title}</h1>\n{listing}"}, "page.html"


def _text(path: str) -> str | None:
    """The content of a file; None if it is not text."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def setup(app: Sphinx) -> dict[str, int | bool]:
    """Register the extension with Sphinx."""
    app.add_transform(LinkListings)
    app.connect("html-collect-pages", listings)
    return {"env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
