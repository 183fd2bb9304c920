"""Compress and decompress need numpy, pillow, click and rich: nothing else is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAVY = ("torch", "torchvision", "matplotlib", "scipy")

PROGRAM = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {heavy!r}:
            raise AssertionError(f"{{name}} was imported")

sys.meta_path.insert(0, Refuse())
from mnistzip.cli.main import run
assert run(["compress", {source!r}, "-o", {packed!r}]) == 0
assert run(["decompress", {packed!r}, "-o", {back!r}]) == 0
assert run(["compare", {source!r}, {packed!r}]) == 0
loaded = {{name.split(".")[0] for name in sys.modules}}
print(sorted(loaded & {{"numpy", "PIL", "click", "rich", "torch", "hypothesis", "pytest"}}))
"""


def test_compress_and_decompress_never_import_torch(digit_png: Path, tmp_path: Path) -> None:
    paths = {"source": str(digit_png), "packed": str(tmp_path / "d.cae"), "back": str(tmp_path / "d.bmp")}
    program = PROGRAM.format(heavy=HEAVY, **paths)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "['PIL', 'click', 'numpy']"  # rich comes only where a terminal looks


def test_training_without_torch_names_the_command_that_installs_it(digit_png: Path) -> None:
    program = """
import sys
sys.modules["torch"] = None
from mnistzip.cli.main import run
sys.exit(run(["train", "MNIST", "-o", "x.npz"]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=digit_png.parent, check=False)
    assert done.returncode == 1
    assert "pip install 'mnistzip[train]'" in done.stderr
    assert done.stderr.count("\n") == 1
