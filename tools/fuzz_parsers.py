"""Fuzz the parsers: coverage-guided, from the corpus here and the golden vectors.

    pip install atheris coverage
    python tools/fuzz_parsers.py --seconds 900             # of processor time for all targets; prints a table at the end
    python tools/fuzz_parsers.py --seconds 60 archive model
    python tools/fuzz_parsers.py --seconds 0 --keep        # add inputs with new coverage to the corpus
    python tools/fuzz_parsers.py --seconds 0 --coverage    # what the corpus covers of codec/

New inputs and findings are in ``--out``; a later run continues from them.
"""

from __future__ import annotations

import argparse
import gzip
import io
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fuzz_campaign import Campaign
from mnistzip.idx import idx_header
from mnistzip.plugins.chunk_format import join
from reliability_table import record_option
from support.fuzz_targets import DIGIT, TARGETS, good
from support.paths import TESTS, VECTORS

CORPUS = TESTS / "fuzz" / "corpus"


def seeds(target: str) -> Iterator[bytes]:
    """Initial inputs, except those of the corpus."""
    folders = {
        "single": ["valid", "invalid"],
        "picture": ["valid"],
        "bare": ["bare"],
        "archive": ["archive", "invalid-archive"],
    }
    for path in sorted(path for folder in folders.get(target, []) for path in (VECTORS / folder).iterdir()):
        content = path.read_bytes()
        if path.suffix == ".cae" and target == "archive":
            yield from (b"\0" + content, b"\1" + content)
        elif path.suffix == ".cae":
            yield content
        elif path.suffix == ".bare":
            yield bytes([29, 8, 27, 27]) + content
    if target == "chunk":
        yield join((2, 1), [good(), good()])
    if target == "model":
        yield from (b"\1" + struct.pack("<BBHi", what, which, 3, 5) for what in range(8) for which in range(0, 30, 5))
    if target == "data_set":
        arrays = io.BytesIO(), io.BytesIO()
        np.save(arrays[0], DIGIT[None])
        np.savez_compressed(arrays[1], DIGIT)
        idx = idx_header((1, 28, 28)) + DIGIT.tobytes()
        held = (idx, arrays[0].getvalue(), arrays[1].getvalue(), gzip.compress(idx, mtime=0))
        yield from (bytes([kind]) + content for kind, content in enumerate(held))
    if target == "image_file":
        for kind in ("PNG", "BMP", "GIF", "TIFF", "PPM", "WEBP", "JPEG"):
            for mode in ("L", "RGBA") if kind in ("PNG", "WEBP", "TIFF") else ("L",):
                out = io.BytesIO()
                Image.fromarray(DIGIT[8:16, 8:16]).convert(mode).save(out, kind)
                yield from (out.getvalue(), out.getvalue() + b"\0")


CAMPAIGN = Campaign("fuzzing of parsers", "support.fuzz_targets", (CORPUS,), seeds)


def replay(target: str, *folders: Path) -> int:
    """Run a target over its seeds and all inputs in folders; returns their number."""
    inputs = CAMPAIGN.inputs(target, *folders)
    for data in inputs:
        TARGETS[target](data)
    return len(inputs)


def covered(targets: list[str], out: Path) -> None:
    """Print which lines and branches of the codec the inputs reach."""
    script = f"import sys; sys.path.insert(0, {str(HERE)!r})\nfrom pathlib import Path\nimport fuzz_parsers\n" + "".join(
        f"fuzz_parsers.replay({target!r}, fuzz_parsers.CORPUS / {target!r}, Path({str(out / target)!r}))\n"
        for target in targets
    )
    data = f"--data-file={out / 'coverage'}"
    command = [sys.executable, "-m", "coverage", "run", "--branch", "--source=mnistzip", data, "-c", script]
    (out / "replay.py").write_text(script)
    subprocess.run([*command[:-2], str(out / "replay.py")], check=True)
    engine = "*/codec/*.py,*/mnistzip/*.py"  # as a checkout, as installed
    others = ["bench", "cli", "io", "plugins", "pretrained", "training"]
    omit = ",".join(f"*/mnistzip/{other}/*" for other in others)
    subprocess.run([sys.executable, "-m", "coverage", "report", data, f"--include={engine}", f"--omit={omit}"], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; by default all")
    parser.add_argument("--seconds", type=int, default=60, help="of a processor, for each target")
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"))
    parser.add_argument("--keep", action="store_true", help="add what was found to the corpus here")
    parser.add_argument("--coverage", action="store_true", help="replay everything and say what it covers of codec/")
    record_option(parser)
    options = parser.parse_args()
    options.targets = options.targets or list(TARGETS)
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"no target {', '.join(unknown)}: there are {', '.join(TARGETS)}")
    options.out.mkdir(parents=True, exist_ok=True)
    failed = CAMPAIGN.run(options)
    if options.coverage:
        covered(options.targets, options.out)
    sys.exit(min(failed, 100))


if __name__ == "__main__":
    main()
