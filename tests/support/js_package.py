"""What the tests of the npm package share: a build of it, a server of its files, and what Python encodes."""

from __future__ import annotations

import importlib.util
import mimetypes
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import mnistzip
from mnistzip.types import Pixels
from support.paths import ROOT, VECTORS

JS = ROOT / "js"
FOLDERS = [f"vectors/{kind}" for kind in ("valid", "own")]
FOLDERS += [f"fuzz/corpus/{target}" for target in ("single", "archive", "bare", "model")]


def build_script() -> ModuleType:
    """``js/build.py`` as a module."""
    spec = importlib.util.spec_from_file_location("js_build", JS / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_models(folder: Path) -> None:
    """The packed files of all shipped models, and of the model of the golden files that does not ship."""
    build = build_script()
    build.build_models(folder)
    build.write_model(str(VECTORS / "own" / "own.npz"), folder)


def names() -> dict[str, list[str]]:
    """The files of the folders that ``js/test/golden.mjs`` goes through."""
    return {folder: sorted(path.name for path in (ROOT / "tests" / folder).iterdir()) for folder in FOLDERS}


def _other_images(digits: Pixels) -> dict[str, Pixels]:
    bar = np.zeros((28, 28), np.uint8)
    bar[8:12, 9:19] = 255
    slope = np.add.outer(np.arange(40) * 3, np.arange(50) * 2).astype(np.uint8)
    return {
        "bar": bar,
        "inverted": 255 - digits[3],
        "noise": np.random.default_rng(1).integers(0, 256, (28, 28)).astype(np.uint8),
        "sheet": np.block([[digits[0], digits[1]], [digits[3], digits[4]]])[3:44, 5:40],
        "slope": slope,
        "black": np.zeros((150, 140), np.uint8),
    }


def encodings(digits: Pixels) -> list[dict[str, Any]]:
    """What Python encodes: cases of ``checkEncodings`` in ``js/test/golden.mjs``."""
    images = {f"digit {k}": digit for k, digit in enumerate(digits)}
    options: list[dict[str, Any]] = [{"model": "mnist-fast", "effort": 0, "quality": 1 + 9 * k} for k in range(12)]
    cases = [(name, image, {"model": "mnist-fast", "effort": 0}) for name, image in images.items()]
    cases += [(f"digit {k}", digits[k], each) for k, each in enumerate(options)]
    for k, (name, image) in enumerate([*list(images.items())[:6], *_other_images(digits).items()]):
        for model in ("mnist", "glyph", "grey", "classic", "auto"):
            cases.append((name, image, {"model": model, "effort": (0, 1, 3)[k % 3], "quality": (15, 50, 90)[k % 3]}))
        cases += [(name, image, {"lossless": True}), (name, image, {"max_error": 1 + 9 * (k % 5)})]
        cases.append((name, image, {"model": "grey", **({"lossless": True} if k % 2 else {"max_error": 1 + 5 * k})}))
        cases.append((name, image, {"model": "mnist-bitmap", **({"max_error": 3} if k == 4 else {"lossless": True})}))
    cases += [(f"digit {k}", digits[k], {"quality": (70, 85, 95, 100)[k % 4], "effort": 1 + k % 3}) for k in range(12)]
    tall = np.random.default_rng(2).normal(128, 4, (1400, 5)).astype(np.uint8)  # too many steps for grey without loss
    cases += [("tall", tall, {"lossless": True}), ("tall", tall, {"model": "grey", "max_error": 2})]
    cases += [(f"digit {k}", digits[k], {"bare": True, "quality": 25, "check_bits": k, "effort": 1}) for k in range(3)]
    return [_case(name, np.ascontiguousarray(image), each) for name, image, each in cases]


def _case(name: str, image: Pixels, options: dict[str, Any]) -> dict[str, Any]:
    in_js = {re.sub(r"_(.)", lambda match: match[1].upper(), key): value for key, value in options.items() if key != "bare"}
    file = mnistzip.encode(image, **options)
    height, width = image.shape
    case = {"name": name, "pixels": image.tobytes().hex(), "width": width, "height": height, "options": in_js}
    return case | {"bare": options.get("bare", False), "file": file.hex()}


class _Handler(SimpleHTTPRequestHandler):
    """Serves the package, the tests' data and packed models, also parts of files."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # it would hold back the content of each small file by 40 ms
    extensions_map = mimetypes.types_map | {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}
    models: Path
    pages: dict[str, bytes]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in self.pages:
            self._answer(200, self.pages[path], "text/html")
            return
        file = self.models / Path(path).name if path.startswith("/js/models/") else ROOT / path.lstrip("/")
        if not file.is_file():
            self._answer(404, b"", "text/plain")
            return
        content, kind = file.read_bytes(), self.guess_type(file)
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if part is None:
            self._answer(200, content, kind)
            return
        start, end = int(part[1]), min(int(part[2]) + 1, len(content))
        self._answer(206, content[start:end], kind, {"Content-Range": f"bytes {start}-{end - 1}/{len(content)}"})

    def _answer(self, status: int, content: bytes, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(more or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def serve(models: Path, pages: dict[str, bytes]) -> Iterator[str]:
    """Serve the repository, packed models below ``/js/models/``, and some pages; the value is the address."""
    handler = type("Handler", (_Handler,), {"models": models, "pages": pages})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
