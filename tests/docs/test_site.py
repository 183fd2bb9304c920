"""The site of the documentation builds without a warning, is whole, and needs no network."""

from __future__ import annotations

import html.parser
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest

import mnistzip
from mnistzip.cli.commands import COMMANDS
from mnistzip.cli.main import cli
from support.paths import ROOT

for needed in ("furo", "myst_nb", "sphinx", "sphinx_copybutton"):
    pytest.importorskip(needed)

pytestmark = pytest.mark.slow

PAGES = (
    "*.md",
    "docs/**/*.md",
    "docs/**/*.rst",
    "docs/**/*.ipynb",
    "pretrained/*.md",
    "js/*.md",
    "examples/*/*.md",
    "engine/*/*.md",
)
LOADED = {  # attributes whose files a browser loads to show a page
    "audio": "src", "embed": "src", "iframe": "src", "img": "src", "link": "href", "object": "data", "script": "src",
    "source": "src", "track": "src", "video": "src",
}  # fmt: skip


@dataclass
class Page(html.parser.HTMLParser):
    """The links, anchors and loaded files of a page."""

    path: Path
    links: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    loaded: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if LOADED.get(tag) in values:
            self.loaded.append(values[LOADED[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    options = ("-W", "--keep-going", "-n", "-q", "-c", ROOT / "docs", "-d", tmp_path_factory.mktemp("doctrees"))
    built = subprocess.run([sys.executable, "-m", "sphinx", *options, ROOT, out], capture_output=True, text=True, check=False)
    assert (built.returncode, built.stderr) == (0, "")
    return out


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


def test_every_link_within_the_site_leads_to_a_page_and_a_heading_that_exist(pages: dict[Path, Page]) -> None:
    count = 0
    for page in pages.values():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                assert parts.scheme == "https", link
                continue
            target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
            assert target.is_file(), f"{page.path}: {link}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].anchors, f"{page.path}: {link}"
            count += 1
    assert count > 1000


def test_no_page_loads_anything_from_a_network(site: Path, pages: dict[Path, Page]) -> None:
    assert any(page.loaded for page in pages.values())
    for page in pages.values():
        for address in page.loaded:
            parts = urlsplit(address)
            assert not parts.netloc, f"{page.path}: {address}"
            if parts.path and parts.scheme != "data":
                assert (page.path.parent / unquote(parts.path)).is_file(), f"{page.path}: {address}"
    styles = list(site.rglob("*.css"))
    assert styles
    for path in [*styles, *pages, *site.rglob("*.svg")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?:url\(|@import)\s*[\"']?\s*(?:https?:)?//", text), path


def test_every_page_of_the_project_is_on_the_site(site: Path) -> None:
    sources = {path for pattern in PAGES for path in ROOT.glob(pattern) if "node_modules" not in path.parts}
    assert len(sources) > 40
    for path in sources:
        assert (site / path.relative_to(ROOT)).with_suffix(".html").is_file(), path


def test_every_public_name_has_an_entry(entries: dict[str, set[str]]) -> None:
    assert mnistzip.__all__
    for name in mnistzip.__all__:
        assert f"mnistzip.{name}" in entries["py"], name
    for name in (
        "pillow.CaeImageFile",
        "torch.ArchiveDataset",
        "ray.pack_shards",
        "zarr.MnistzipCodec",
        "numcodecs.MnistzipCodec",
    ):
        assert f"mnistzip.plugins.{name}" in entries["py"], name


def test_every_command_and_every_option_has_an_entry(entries: dict[str, set[str]]) -> None:
    with click.Context(cli, **cli.context_settings) as ctx:
        for name in COMMANDS:
            command = cli.get_command(ctx, name)
            assert command is not None
            options = {
                option
                for parameter in command.get_params(ctx)
                if parameter.param_type_name == "option"
                for option in parameter.opts
            }
            assert "--help" in options
            assert {f"mnistzip-{name}.{option}" for option in options} <= entries["std"], name


@pytest.fixture(scope="module")
def entries(site: Path) -> dict[str, set[str]]:
    """The names in the inventory of the site, by the part of a kind before the colon."""
    from sphinx.util.inventory import InventoryFile

    with (site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, rest: f"{base}{rest}")
    names: dict[str, set[str]] = {}
    for kind, items in inventory.items():
        names.setdefault(kind.partition(":")[0], set()).update(items)
    return names


def test_pages_do_not_name_the_folder_that_they_were_built_in(pages: dict[Path, Page]) -> None:
    for path in pages:
        assert str(ROOT) not in path.read_text(encoding="utf-8"), path


def test_signatures_link_to_the_line_of_their_source(site: Path, pages: dict[Path, Page]) -> None:
    links = [link for link in pages[site / "docs" / "api" / "images.html"].links if "/files/codec/api.py.html#line-" in link]
    lines = (ROOT / "codec" / "api.py").read_text(encoding="utf-8").splitlines()
    starts = [int(link.rpartition("-")[2]) - 1 for link in links]  # of the decorators, if there are some
    defined = {next(line.split("(")[0] for line in lines[start:] if line.startswith(("def ", "class "))) for start in starts}
    assert {"def encode", "def decode", "def encode_many"} <= defined
