"""What holds for all plugins: their examples run, they come with their extras, and mnistzip does without them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.paths import ROOT

PAGE = (ROOT / "docs" / "plugins.md").read_text()
EXAMPLES = re.findall(r"^## ([^\n]*)\n(?:(?!^## ).*\n)*?```python\n((?:(?!```).*\n)*)```\n", PAGE, re.MULTILINE)


def python(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    # Ray assigns to its own deprecated settings; -W takes no patterns, so what it says of them is let through by its module.
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning:ray.data.context", "-c", program]
    environment = os.environ | {"HF_HOME": str(folder / "huggingface"), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)


def test_every_plugin_has_an_example() -> None:
    titles = ["Pillow", "imageio", "PyTorch", "Parquet and Hugging Face datasets", "Ray", "Zarr", "numcodecs"]
    assert [title for title, _ in EXAMPLES] == titles
    assert len(EXAMPLES) == PAGE.count("```python")


@pytest.mark.parametrize(("title", "program"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
def test_the_examples_of_the_page_run_word_for_word_and_print_what_they_say(title: str, program: str, tmp_path: Path) -> None:
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    done = python(program, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == re.findall(r"^ *print\(.*#  ?(.*)$", program, re.MULTILINE), title


def test_mnistzip_itself_imports_none_of_the_plugins_nor_their_libraries(tmp_path: Path) -> None:
    heavy = ("mnistzip.plugins", "zarr", "numcodecs", "imageio", "torch", "ray", "pyarrow", "pandas")
    done = python(
        f"import sys, mnistzip, mnistzip.cli.main; print([n for n in sys.modules if n.startswith({heavy})])", tmp_path
    )
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize(("library", "extra"), [("zarr", "zarr"), ("numcodecs", "zarr"), ("torch", "torch"), ("ray", "ray")])
def test_a_missing_library_names_the_command_that_installs_it(library: str, extra: str, tmp_path: Path) -> None:
    done = python(f"import sys; sys.modules[{library!r}] = None; import mnistzip.plugins.{library}", tmp_path)
    assert done.stderr.splitlines()[-1].endswith(f"pip install 'mnistzip[{extra}]'")
