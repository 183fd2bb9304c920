"""``mnistzip demo``: write a page to try the codec in a browser, and open it."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path

import click

from mnistzip.cli import outputs, params
from mnistzip.io.image_file import STREAM

NAME = "mnistzip-demo.html"


@click.command(short_help="Try the codec in a browser.")
@click.option(
    "-o", "--output", type=outputs.LocalPath(), metavar="FILE", help="The page; - is stdout.  [default: in a new folder]"
)
@click.option("--all-models", is_flag=True, help="A larger page, which opens files of every shipped model.")
@click.option("--no-open", is_flag=True, help="Only write the page.")
@params.force
def demo(output: str | None, all_models: bool, no_open: bool, force: bool) -> None:
    """Write a page to draw a digit on, and open it in the browser.

    The page shows what mnistzip keeps, next to WebP, JPEG and PNG, with bytes and PSNR. It is one HTML file that needs no
    network. Without -o it goes into a new folder for temporary files.
    """
    from mnistzip.demo import page

    if output is not None:
        outputs.require_free(output, [], force)
        if output != STREAM:
            outputs.require_writable(output)
    content = page.write_page(page.ALL_MODELS if all_models else page.MODELS).encode()
    path = str(Path(tempfile.mkdtemp(prefix="mnistzip-")) / NAME) if output is None else output
    outputs.write(path, content, STREAM, force)
    if path == STREAM:
        return
    click.echo(f"{path}\n  {len(content):,} bytes")
    if not no_open and not webbrowser.open(Path(path).absolute().as_uri()):
        click.echo("mnistzip: no browser can be opened: open the file yourself", err=True)
