"""Build the parts of the npm package that are made from others: the WebAssembly module, and the packed models.

pip install ziglang==0.16.0
python js/build.py              both
python js/build.py --wasm       mnistzip.wasm alone; the same compiler gives the same bytes on every machine
python js/build.py --models     models/ alone; needs mnistzip installed
python js/build.py --model own.npz --out FOLDER     the packed files of one model
python js/build.py --import-map     the JavaScript as an import map, for a page in one file
"""

from __future__ import annotations

import argparse
import base64
import importlib.metadata
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENGINE = HERE.parent / "engine"
MODULE, MODELS = HERE / "mnistzip.wasm", HERE / "models"
COMPILER, COMPILER_VERSION = [sys.executable, "-m", "ziglang"], "0.16.0"  # another version may give other bytes
FLAGS = ["-target", "wasm32-freestanding", "-mcpu=generic+simd128+bulk_memory", "-std=c11", "-DNDEBUG", "-g0"]
FLAGS += ["-ffp-contract=off", "-nostdlib", "-Wall", "-Wextra", "-Werror", f"-I{HERE / 'src' / 'include'}", f"-I{ENGINE}"]
STACK = 1 << 19  # bytes
EXPORTS = (
    "__heap_base",
    "mnz_bitmap_coding_workspace",
    "mnz_decode",
    "mnz_decode_digits",
    "mnz_decode_image_latents",
    "mnz_decode_latents",
    "mnz_decode_pixel_images",
    "mnz_decode_pixels",
    "mnz_encode",
    "mnz_file_bound",
    "mnz_grey_workspace",
    "mnz_image_pixels_workspace",
    "mnz_image_workspace",
    "mnz_lossless_workspace",
    "mnz_lossy_workspace",
    "mnz_measure",
    "mnz_model_load",
    "mnz_model_memory",
    "mnz_synthesize",
    "mnz_synthesize_image",
)


def has_compiler() -> bool:
    """Whether the compiler is installed, in the version that the module is built with."""
    try:
        return importlib.metadata.version("ziglang") == COMPILER_VERSION
    except importlib.metadata.PackageNotFoundError:
        return False


def build_module(path: Path = MODULE) -> None:
    """Compile the engine. The kernels are compiled for speed, all else for size.

    The compiler takes -Oz for -Os, which gives larger code, so -Oz is said to its inner part as well.
    """
    fast, libraries = ENGINE / "kernels_wasm.c", sorted((HERE / "src").glob("*.c"))
    small = [source for source in sorted(ENGINE.glob("*.c")) if source != fast]
    with tempfile.TemporaryDirectory() as folder:
        kernels = Path(folder) / "kernels.o"
        compile_with("-O3", "-c", fast, "-o", kernels)
        link = ["--no-entry", "--strip-all", f"-z,stack-size={STACK}", *(f"--export={name}" for name in EXPORTS)]
        compile_with("-Os", "-Xclang", "-Oz", *small, *libraries, kernels, *(f"-Wl,{option}" for option in link), "-o", path)
    path.chmod(0o644)


def compile_with(*arguments: object) -> None:
    """Run the compiler."""
    subprocess.run([*COMPILER, "cc", *FLAGS, *map(str, arguments)], check=True)


def build_models(folder: Path = MODELS) -> None:
    """Write the packed files of all shipped models."""
    from mnistzip.models import registry

    for name in registry.SHIPPED:
        write_model(name, folder)


def write_model(source: str, folder: Path) -> None:
    """Write the packed files of a model, given by its name or the path of its file."""
    from mnistzip.models import packed, registry

    model = registry.find(source)
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, content in packed.pack(model).items():
        (folder / f"{model.name}{suffix}").write_bytes(content)


def import_map() -> str:
    """The JavaScript as an import map of ``data:`` addresses, for a page in one file: its scripts then import "mnistzip".

    Such a page hands engine and models to ``configure`` as bytes.
    """
    imports = {}
    for path in [HERE / "mnistzip.js", *sorted((HERE / "lib").glob("*.js"))]:
        name = "mnistzip" if path.parent == HERE else f"mnistzip/{path.name}"
        source = re.sub(r'from "\./(?:lib/)?(\w+\.js)"', r'from "mnistzip/\1"', path.read_text())
        imports[name] = f"data:text/javascript;base64,{base64.b64encode(source.encode()).decode()}"
    return json.dumps({"imports": imports})


def main() -> None:
    """Build what the options say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wasm", action="store_true")
    parser.add_argument("--models", action="store_true")
    parser.add_argument("--model", metavar="NAME")
    parser.add_argument("--import-map", action="store_true")
    parser.add_argument("--out", type=Path, default=MODELS, metavar="FOLDER")
    options = parser.parse_args()
    if options.import_map:
        print(import_map())
        return
    everything = not (options.wasm or options.models or options.model)
    if (options.wasm or everything) and not has_compiler():
        sys.exit(f"error: the compiler is missing: pip install ziglang=={COMPILER_VERSION}")
    if options.wasm or everything:
        build_module()
    if options.model:
        write_model(options.model, options.out)
    elif options.models or everything:
        build_models(options.out)


if __name__ == "__main__":
    main()
