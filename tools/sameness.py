"""Compare the bytes and pixels of each shipped model with recorded digests, which are the same on all machines.

    python tools/sameness.py [--batch 64] [--reverse] [--threads 1] [--record]

The script needs only mnistzip, so it runs on any machine: ``tools/platforms.py`` runs it under other processors' kernels and
threads, with other versions of Python and numpy, and on other processors. It also decodes the golden files. Exit code 1 if
anything differs. With ``--threads`` all of this happens in several threads at once, which share the loaded models.
``--instructions`` chooses those of the native engine, ``--core`` requires the kernels of OpenBLAS for a processor. ``--record``
writes ``tests/data/sameness.json``: use it only for intended changes of the coding.
"""

from __future__ import annotations

import argparse
import contextvars
import ctypes
import hashlib
import json
import platform
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import mnistzip
from mnistzip.engines import choice
from mnistzip.engines.native_engine import NativeEngine, extension
from mnistzip.idx import read_idx
from mnistzip.models.registry import AUTO, BITMAPS, SHIPPED
from mnistzip.types import Pixels

MODELS = (AUTO, *SHIPPED)
TESTS = Path(__file__).parents[1] / "tests"
RECORDED = TESTS / "data" / "sameness.json"
DIGITS = read_idx(TESTS / "data" / "digits-idx3-ubyte.gz")
SAME_KERNELS = {  # what OpenBLAS reports for a name of OPENBLAS_CORETYPE, where that differs
    "Prescott": {"Prescott", "Katmai"},  # on 64 bits both names stand for the kernels of Prescott
    "Core2": {"Core2", "Prescott", "Katmai"},
    "Zen": {"Zen", "Haswell"},
    "Cooperlake": {"Cooperlake", "SkylakeX"},
}
WAYS = ({"quality": 20, "effort": 0}, {"quality": 85, "effort": 3}, {"lossless": True})


def images(model: str) -> list[Pixels]:
    """Digits, and images of other sizes and textures; fewer for grey, whose search takes numpy longer."""
    rows, columns = np.mgrid[:61, :90]
    plaid = ((rows * 5 % 256) ^ (columns * 3 % 256)).astype(np.uint8)
    if model == "grey":
        return [*DIGITS[:4], plaid[:30, :41], DIGITS[30][4:13, 4:24], np.hstack(list(DIGITS[24:27]))]
    return [*DIGITS[:24], plaid, DIGITS[30][4:13, 4:24], np.hstack(list(DIGITS[24:44]))]


def digest(model: str, batch: int, reverse: bool) -> str:
    """Digest of all files, archives and pixels of a model, ``batch`` images at a time, in reverse order if ``reverse``."""
    every = images(model)[:: -1 if reverse else 1]
    found = hashlib.sha256()
    for how in WAYS[-1:] if model == BITMAPS else WAYS:
        files: list[bytes] = []
        for start in range(0, len(every), batch):
            files += mnistzip.encode_many(every[start : start + batch], model=model, **how)
        decoded: list[Pixels] = []
        for start in range(0, len(files), batch):
            decoded += mnistzip.decode_many(files[start : start + batch])
        pairs = list(zip(files, decoded, strict=True))[:: -1 if reverse else 1]
        for file, image in pairs:
            found.update(file + image.tobytes())
        archive = mnistzip.encode_archive(images(model), model=model, **how)
        found.update(archive)
        for image in mnistzip.Archive(archive):
            found.update(image.tobytes())
    return found.hexdigest()


def wrong_vectors() -> list[str]:
    """Golden files that do not decode to their pixels."""
    wrong = []
    for path in sorted((TESTS / "vectors" / "valid").glob("*.cae")):
        image = mnistzip.decode(path.read_bytes())
        header = b"P5 %d %d 255\n" % (image.shape[1], image.shape[0])
        if header + image.tobytes() != path.with_suffix(".pgm").read_bytes():
            wrong.append(path.name)
    for name, expected in json.loads((TESTS / "vectors" / "archive" / "expected.json").read_text()).items():
        found = [zlib.crc32(image.tobytes()) for image in mnistzip.Archive(TESTS / "vectors" / "archive" / f"{name}.cae")]
        if found != expected["crc32"]:
            wrong.append(f"archive {name}")
    return wrong


def core_of_openblas() -> str:
    """The processor whose kernels the OpenBLAS of numpy's wheels uses."""
    folder = Path(np.__file__).parents[1] / "numpy.libs"
    (library,) = folder.glob("libscipy_openblas*")
    corename = ctypes.CDLL(str(library)).scipy_openblas_get_corename64_
    corename.restype = ctypes.c_char_p
    return str(corename().decode())


def check(models: list[str], batch: int, reverse: bool) -> tuple[dict[str, str], list[str]]:
    """The digest of each model, and the golden files that are wrong."""
    return {model: digest(model, batch, reverse) for model in models}, wrong_vectors()


def check_at_once(threads: int, models: list[str], batch: int, reverse: bool) -> tuple[dict[str, str], list[str]]:
    """Check in several threads, which start together; a digest that differs between them is ``differs``."""
    together = threading.Barrier(threads)

    def run(_: int) -> tuple[dict[str, str], list[str]]:
        together.wait()
        return check(models, batch, reverse)

    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(contextvars.copy_context().run, run, k) for k in range(threads)]
        results = [future.result() for future in futures]
    found = {model: digests.pop() for model in models if len(digests := {each[model] for each, _ in results}) == 1}
    return {model: found.get(model, "differs") for model in models}, [name for _, wrong in results for name in wrong]


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare bytes and pixels with recorded digests.")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--reverse", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--instructions", help="of the native engine; by default the best")
    parser.add_argument("--core", help="stop unless numpy uses kernels of OpenBLAS for a processor of this kind")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--model", action="append", choices=MODELS, help="by default all")
    options = parser.parse_args()
    if options.core and (core := core_of_openblas()) not in SAME_KERNELS.get(options.core, {options.core}):
        sys.exit(f"numpy uses the kernels for {core}, not those for {options.core}")
    native = extension()
    if options.instructions and (native is None or options.instructions not in native.instructions()):
        sys.exit(f"no native engine with {options.instructions}")
    engine = NativeEngine(native, options.instructions) if options.instructions and native is not None else choice.current()
    with choice.use(engine):
        found, wrong = check_at_once(options.threads, options.model or list(MODELS), options.batch, options.reverse)
    if options.record:
        RECORDED.write_text(json.dumps(found, indent=2) + "\n")
    recorded = json.loads(RECORDED.read_text())
    wrong += [model for model, value in found.items() if value != recorded.get(model)]
    where = f"{platform.machine()} {sys.byteorder}-endian, Python {platform.python_version()}, numpy {np.__version__}"
    digests = " ".join(f"{model}={value[:12]}" for model, value in found.items())
    used = (
        f"{engine.name} {engine.instructions}, kernels for {options.core}"
        if options.core
        else f"{engine.name} {engine.instructions}"
    )
    print(f"{'DIFFERS: ' + ', '.join(wrong) if wrong else 'same'} | {where}, {used} | {digests}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
