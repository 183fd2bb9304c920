"""The npm package in ``js/``: its build, and its tests in Node and in a browser."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mnistzip
from mnistzip.models import packed, prepared, registry
from mnistzip.types import Mode, Pixels
from support.bitmap_models import random_bitmap_model
from support.js_package import JS, build_models, build_script, encodings, names, serve
from support.paths import VECTORS

NODE, NPM = shutil.which("node"), shutil.which("npm")
needs_node = pytest.mark.skipif(NODE is None, reason="needs Node: https://nodejs.org")
needs_npm = pytest.mark.skipif(NPM is None, reason="needs npm")
needs_compiler = pytest.mark.skipif(not build_script().has_compiler(), reason="needs the compiler: pip install ziglang")

MODULE_MAX, PAGE_MAX = 60_000, 1_200_000  # bytes, gzipped: the module alone, and all that a page with mnist-fast loads
CHECKS = ("checkFiles", "checkBareStreams", "checkArchives", "checkFaults", "checkFaultsOfArchives", "checkFuzzCorpus")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packed models."""
    folder = tmp_path_factory.mktemp("models")
    build_models(folder)
    return folder


@pytest.fixture(scope="module")
def cases(digits: Pixels) -> list[dict[str, Any]]:
    return encodings(digits)


# ---- What the package consists of ----


def test_the_package_names_the_models_and_the_version_of_python() -> None:
    source = (JS / "lib" / "models.js").read_text()
    listed = re.findall(r'name: "(.+)", number: (\d+), fingerprint: "(\w+)"(?:, lossyFingerprint: "(\w+)")?', source)
    expected = []
    for name, model in ((name, registry.shipped(name)) for name in registry.SHIPPED):
        lossy, others = (model.fingerprint_for(mode).hex() for mode in (Mode.LOSSY, Mode.LOSSLESS))
        expected.append((name, str(model.number), others, lossy if lossy != others else ""))
    assert listed == expected
    assert re.search(r"CANDIDATES = (\[.*\]);", source)[1] == json.dumps(list(registry.CANDIDATES))  # type: ignore[index]
    assert json.loads((JS / "package.json").read_text())["version"] == mnistzip.__version__


def test_everything_that_is_exported_has_a_type() -> None:
    exported = re.findall(r"\w+", " ".join(re.findall(r"\{([^}]*)\}", (JS / "mnistzip.js").read_text())))
    typed = re.findall(r"export (?:function|class) (\w+)", (JS / "mnistzip.d.ts").read_text())
    assert sorted(exported) == sorted(typed)


def test_a_page_loads_little() -> None:
    sources = [JS / "mnistzip.js", *sorted((JS / "lib").glob("*.js"))]
    module = len(gzip.compress((JS / "mnistzip.wasm").read_bytes()))
    assert module <= MODULE_MAX
    model = len(packed.pack(registry.shipped("mnist-fast"))[".model"])
    assert module + sum(len(gzip.compress(source.read_bytes())) for source in sources) + model <= PAGE_MAX


def unpacked(files: dict[str, bytes], upto: int) -> bytes:
    """The prepared model of the first files, as packed.py describes them."""
    out = bytearray()
    for suffix in list(packed.SUFFIXES.values())[:upto]:
        line, content = gzip.decompress(files[suffix]).split(b"\n", 1)
        head = json.loads(line)
        out += bytes(head.get("size", 0))
        for offset, item, rows, count in head["arrays"]:
            planes, content = np.frombuffer(content[: item * count], np.uint8).reshape(item, count), content[item * count :]
            folded = np.ascontiguousarray(planes.T).view(f"<u{item}").ravel()
            steps = (folded >> 1).astype(f"<i{item}") ^ -(folded & 1).astype(f"<i{item}")
            values = np.cumsum(steps.reshape(rows, -1), axis=0, dtype=f"<i{item}")
            out[offset : offset + values.nbytes] = values.tobytes()
        assert not content
    return bytes(out)


@pytest.mark.parametrize("name", ["mnist-fast", "grey"])
def test_a_packed_model_is_the_prepared_model(name: str) -> None:
    model = registry.shipped(name)
    assert unpacked(packed.pack(model), 3 if model.has_pixel_model else 2) == prepared.prepare(model, "little")


def test_a_packed_model_of_bitmaps_is_one_file() -> None:
    for model in (registry.shipped(registry.BITMAPS), random_bitmap_model(1)):
        files = packed.pack(model)
        assert list(files) == [".model"]
        assert unpacked(files, 1) == prepared.prepare(model, "little")


@pytest.mark.parametrize(("name", "kind"), [("mnist-fast", "tiles"), ("grey", "grey"), ("mnist-bitmap", "bitmap")])
def test_packed_models_say_what_they_code_also_to_programs_that_know_no_kinds(name: str, kind: str) -> None:
    head = json.loads(gzip.decompress(packed.pack(registry.shipped(name))[".model"]).split(b"\n", 1)[0])
    assert (head["kind"], head["grey"]) == (kind, kind == "grey")


def test_the_page_on_the_package_states_the_sizes_of_the_files(models: Path) -> None:
    readme = (JS / "README.md").read_text()
    for name in registry.SHIPPED:
        (row,) = re.findall(rf"^\| `{name}` \| (.*) \|$", readme, re.MULTILINE)
        for cell, suffix in zip(row.split(" | "), packed.SUFFIXES.values(), strict=True):
            file = models / f"{name}{suffix}"
            assert file.exists() == (cell != "-")
            assert not file.exists() or int(cell.replace(",", "")) == pytest.approx(file.stat().st_size / 1000, rel=0.02)
    engine = (JS / "mnistzip.wasm").read_bytes()
    stated = re.search(r"takes (\d+) kB, (\d+) kB gzipped", readme)
    assert stated is not None
    assert [int(number) for number in stated.groups()] == [round(len(each) / 1000) for each in (engine, gzip.compress(engine))]


@needs_compiler
@pytest.mark.slow
def test_the_module_is_the_engine_of_this_checkout(tmp_path: Path) -> None:
    """The same compiler gives the same bytes everywhere. After a change of the engine: python js/build.py --wasm."""
    build_script().build_module(tmp_path / "again.wasm")
    assert (tmp_path / "again.wasm").read_bytes() == (JS / "mnistzip.wasm").read_bytes()


# ---- Node ----


def run_node(*arguments: object, cwd: Path = JS, **environment: object) -> str:
    words = {key: str(value) for key, value in environment.items()}
    command = [str(NODE), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=os.environ | words, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
    return done.stdout


@needs_node
@pytest.mark.slow
def test_the_tests_of_node_pass(models: Path, cases: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "encodings.json").write_text(json.dumps(cases))
    tests = sorted((JS / "test").glob("*.test.mjs"))
    assert tests
    output = run_node("--test", *tests, MNISTZIP_MODELS=models, MNISTZIP_ENCODINGS=tmp_path / "encodings.json")
    assert re.search(r"^\S* ?fail 0$", output, re.MULTILINE)
    assert re.search(r"^\S* ?skipped 0$", output, re.MULTILINE)


@needs_node
@needs_npm
@pytest.mark.slow
def test_the_package_that_npm_packs_works_where_it_is_installed(models: Path, digit: Pixels, tmp_path: Path) -> None:
    package, project = tmp_path / "package", tmp_path / "project"
    shutil.copytree(JS, package, ignore=shutil.ignore_patterns("models", "node_modules"))
    offline = {"npm_config_offline": "true", "npm_config_audit": "false", "npm_config_fund": "false"}
    offline["npm_config_cache"] = str(tmp_path / "cache")

    def npm(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(NPM), *words]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | offline, check=False)

    assert 'run "python js/build.py" first' in npm(package, "pack").stderr
    shutil.copytree(models, package / "models")
    done = npm(package, "pack", "--json")
    assert done.returncode == 0, done.stderr
    (listed,) = json.loads(done.stdout)
    files = {file["path"] for file in listed["files"]}
    assert {"mnistzip.js", "mnistzip.d.ts", "mnistzip.wasm", "img.js", "README.md", "LICENSE", "models/mnist.model"} <= files
    assert {path.split("/")[0] for path in files} == {
        "mnistzip.js", "mnistzip.d.ts", "mnistzip.wasm", "img.js", "README.md", "LICENSE", "package.json", "lib", "models"
    }  # fmt: skip
    project.mkdir()
    (project / "package.json").write_text('{"type": "module"}')
    done = npm(project, "install", str(package / listed["filename"]))
    assert done.returncode == 0, done.stderr
    example = re.findall(r"```js\n(.*?)```", (JS / "README.md").read_text(), re.DOTALL)[0]
    assert run_node("--input-type=module", "-e", example, cwd=project).strip() == re.search(r"// (.*)\n$", example)[1]  # type: ignore[index]
    script = """
        import { encode } from "mnistzip";
        const pixels = Buffer.from(process.argv[1], "hex");
        console.log(Buffer.from(await encode(pixels, 28, 28)).toString("hex"));
    """
    output = run_node("--input-type=module", "-e", script, digit.tobytes().hex(), cwd=project)
    assert output.strip() == mnistzip.encode(digit).hex()


# ---- A browser ----

PICTURES = b"""<!doctype html>
<link rel="icon" href="data:,">
<script>window.failed = [];</script>
<img id="digit" src="/tests/vectors/valid/mnist-q50.cae">
<img id="damaged" src="/tests/vectors/invalid/truncated.cae">
<img id="other" src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">
<script>document.querySelector("#damaged").addEventListener("error", event => failed.push(event.message || ""));</script>
<script type="module" src="/js/img.js"></script>
"""
BLANK = b'<!doctype html><link rel="icon" href="data:,">'


@pytest.fixture(scope="module")
def address(models: Path) -> Iterator[str]:
    with serve(models, {"/blank.html": BLANK, "/pictures.html": PICTURES}) as address:
        yield address


def run_script(browser: Any, body: str, *arguments: object) -> Any:
    """What a function body returns that may await; ``given`` are the arguments."""
    script = f"""
        const done = arguments[arguments.length - 1];
        const given = [...arguments].slice(0, -1);
        (async () => {{ {body} }})().then(done, (error) => done([String(error.stack)]));
    """
    browser.set_script_timeout(120)
    return browser.execute_async_script(script, *arguments)


IMPORTS = """
    const golden = await import("/js/test/golden.mjs");
    const read = async (path) => new Uint8Array(await (await fetch(`/tests/${path}`)).arrayBuffer());
"""


@pytest.mark.browser
def test_golden_files_faults_and_the_fuzz_corpus_in_a_browser(chromium: Any, address: str) -> None:
    chromium.get(f"{address}/blank.html")
    wrong = run_script(
        chromium,
        IMPORTS
        + """
        const { addModel } = await import("/js/mnistzip.js");
        await addModel(await (await fetch("/js/models/own.model")).arrayBuffer());
        const [checks, names] = given;
        const wrong = [];
        for (const check of checks) wrong.push(...(await golden[check](read, names)));
        return wrong;
        """,
        CHECKS,
        names(),
    )
    assert wrong == []


@pytest.mark.browser
def test_a_browser_encodes_the_bytes_of_python(chromium: Any, address: str, cases: list[dict[str, Any]]) -> None:
    chromium.get(f"{address}/blank.html")
    assert run_script(chromium, IMPORTS + "return golden.checkEncodings(given[0]);", cases) == []


@pytest.mark.browser
def test_a_browser_reads_an_archive_in_parts(chromium: Any, address: str) -> None:
    chromium.get(f"{address}/blank.html")
    image, loaded, size = run_script(
        chromium,
        """
        const { Archive } = await import("/js/mnistzip.js");
        const archive = await Archive.open("/tests/vectors/archive/grown.cae");
        const { pixels } = await archive.read(archive.count - 1);
        const entries = performance.getEntriesByType("resource").filter((entry) => entry.name.endsWith("grown.cae"));
        return [Array.from(pixels), entries.reduce((sum, entry) => sum + entry.encodedBodySize, 0), archive.size];
        """,
    )
    with mnistzip.Archive(VECTORS / "archive" / "grown.cae") as archive:
        assert image == archive[len(archive) - 1].ravel().tolist()
        assert size == archive.size
    assert 0 < loaded < size


@pytest.mark.browser
def test_a_page_in_one_file_needs_no_server(chromium: Any, models: Path, digit: Pixels, tmp_path: Path) -> None:
    """It holds the code as an import map, and hands over engine and model as bytes."""
    inlined = {"wasm": JS / "mnistzip.wasm", "model": models / "mnist-fast.model"}
    data = {name: base64.b64encode(path.read_bytes()).decode() for name, path in inlined.items()}
    page = f"""<!doctype html><link rel="icon" href="data:,">
        <script type="importmap">{build_script().import_map()}</script>
        <script>const data = {json.dumps(data)};</script>"""
    (tmp_path / "page.html").write_text(page)
    chromium.get((tmp_path / "page.html").as_uri())
    file = run_script(
        chromium,
        """
        const { configure, encode } = await import("mnistzip");
        const bytesOf = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
        configure({ wasm: bytesOf(data.wasm), models: () => bytesOf(data.model) });
        return Array.from(await encode(Uint8Array.from(given[0]), 28, 28, { model: "mnist-fast", effort: 0 }));
        """,
        digit.ravel().tolist(),
    )
    assert bytes(file) == mnistzip.encode(digit, model="mnist-fast", effort=0)


def pixels_of(browser: Any, selector: str) -> Pixels:
    """The grey levels that an image element shows; it must have finished loading."""
    png = run_script(
        browser,
        """
        const image = document.querySelector(given[0]);
        for (let k = 0; k < 400 && !(image.src.startsWith("blob:") && image.complete); k++) {
            await new Promise((resolve) => setTimeout(resolve, 50));
        }
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
        canvas.getContext("2d").drawImage(image, 0, 0);
        return Array.from(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data)
            .filter((_, k) => k % 4 === 0);
        """,
        selector,
    )
    return np.array(png, np.uint8)


def golden_pixels(name: str) -> Pixels:
    with Image.open(VECTORS / "valid" / f"{name}.pgm") as image:
        return np.asarray(image).ravel()


@pytest.mark.browser
def test_one_script_tag_makes_images_of_a_page_show_files(chromium: Any, address: str) -> None:
    chromium.get(f"{address}/pictures.html")
    assert (pixels_of(chromium, "#digit") == golden_pixels("mnist-q50")).all()
    chromium.execute_script("document.querySelector('#digit').src = '/tests/vectors/valid/grey-20x9.cae';")
    run_script(chromium, "await new Promise((resolve) => setTimeout(resolve, 50));")
    chromium.execute_script(
        "const more = document.createElement('div'); more.innerHTML = '<img id=more src=/tests/vectors/valid/stored-up.cae>';"
        "document.body.append(more);"
    )
    assert (pixels_of(chromium, "#more") == golden_pixels("stored-up")).all()
    assert (pixels_of(chromium, "#digit") == golden_pixels("grey-20x9")).all()
    assert chromium.find_element("css selector", "#other").get_attribute("src").startswith("data:")
    messages = [entry["message"] for entry in chromium.get_log("browser")]
    assert any("truncated.cae: the file is damaged" in message for message in messages)
    assert any("the file is damaged" in message for message in chromium.execute_script("return failed;"))
