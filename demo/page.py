"""The page as one HTML file: template, styles, scripts, engine, models and sample pictures."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence

from mnistzip import __version__
from mnistzip.demo.bundle import bundle, read
from mnistzip.models import packed, registry

MODELS = ("mnist-fast", "grey")  # what a small page holds
ALL_MODELS = tuple(registry.SHIPPED)
SAMPLES = {  # file in samples/ -> its description for those who do not see it
    **{f"digit-{digit}": f"The handwritten digit {digit}" for digit in range(10)},
    "letter": "The letter g",
    "moon": "A half moon",
    "portrait": "Portrait of Grace Hopper",
}


def write_page(models: Sequence[str] = MODELS) -> str:
    """The page with some of the shipped models.

    Example:
        >>> from mnistzip.demo.page import write_page
        >>> page = write_page(["mnist-fast"])
        >>> page[:15], len(page) < 3e6
        ('<!doctype html>', True)
    """
    parts = {
        "style": read("demo/page.css").decode(),
        "script": _script(bundle("demo/main.js")),
        "worker": _script(bundle("demo/worker.js")),
        "files": "\n".join(_file(name, content) for name, content in _files(models).items()),
        "samples": "\n".join(_sample(name, text) for name, text in SAMPLES.items()),
        "version": __version__,
    }
    template = read("demo/page.html").decode()
    return re.sub(r"\{\{ (\w+) \}\}", lambda match: parts[match[1]], template)


def _files(models: Sequence[str]) -> dict[str, bytes]:
    """What the worker reads: the engine and the packed models, by their names."""
    files = {"mnistzip.wasm": read("js/mnistzip.wasm")}
    for name in models:
        files |= {f"{name}{suffix}": content for suffix, content in packed.pack(registry.shipped(name)).items()}
    return files


def _file(name: str, content: bytes) -> str:
    return f'<script type="application/octet-stream" data-file="{name}">{base64.b64encode(content).decode()}</script>'


def _sample(name: str, text: str) -> str:
    address = f"data:image/png;base64,{base64.b64encode(read(f'demo/samples/{name}.png')).decode()}"
    attributes = f'type="button" data-sample="{name}" aria-pressed="false" title="{text}"'
    return f'<button {attributes}><img alt="{text}" src="{address}"></button>'


def _script(source: str) -> str:
    """A script as the content of an HTML element, which must not contain the end of the element."""
    if re.search(r"</script|<!--", source, re.IGNORECASE):
        raise ValueError("a script contains the end of a script or the start of a comment in HTML")
    return source
