"""Packing with the real Ray, started on this machine."""

from __future__ import annotations

import hashlib
import json
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")

import mnistzip
from mnistzip.cli.main import run
from mnistzip.errors import OptionError
from mnistzip.idx import idx_header
from mnistzip.plugins.sharding import ShardError
from mnistzip.types import Pixels
from support.paths import ROOT

# Ray's own: it assigns to its deprecated settings as it makes them.
pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore:`use_.*` is deprecated:DeprecationWarning:ray.data.context"),
]

Out = pytest.CaptureFixture[str]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """Ray with two CPUs, for all tests here."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture(autouse=True)
def no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages are compared whole, and Ray can take longer to start than it takes until progress is written."""
    monkeypatch.setattr("mnistzip.cli.progress.INTERVAL", math.inf)


@pytest.fixture
def idx(digits: Pixels, tmp_path: Path) -> Path:
    path = tmp_path / "digits-idx3-ubyte"
    path.write_bytes(idx_header(digits.shape) + digits.tobytes())
    return path


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("part-*")}


def test_a_shard_that_no_worker_survives_is_named_and_all_others_are_made(
    idx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mnistzip.plugins import ray as cluster_packing

    class Mortal(cluster_packing._Packer):
        def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
            from mnistzip.plugins import sharding

            if pickle.loads(batch["shard"][0]).number == 2:
                sharding._pack_shard = lambda *_: os._exit(1)
            return super().__call__(batch)

    monkeypatch.setattr(cluster_packing, "_Packer", Mortal)
    with pytest.raises(ShardError, match=r"1 of 6 shards are missing, resume makes them: part-00002.*: 4 workers died of it"):
        cluster_packing.pack_shards([idx], tmp_path / "out", workers=2, shard_size=12, effort=0)
    assert len(hashes(tmp_path / "out")) == 5
    assert not list((tmp_path / "out").rglob("*.begun"))
    monkeypatch.undo()
    summary = cluster_packing.pack_shards([idx], tmp_path / "out", workers=1, shard_size=12, effort=0, resume=True)
    assert (summary.shards, summary.images) == (6, 64)


@pytest.mark.parametrize("to", ["cae", "parquet"])
def test_the_bytes_are_the_same_whatever_the_number_of_workers(to: str, idx: Path, digits: Pixels, tmp_path: Path) -> None:
    from mnistzip.plugins.ray import pack_shards

    how: dict[str, Any] = {"to": to, "shard_size": 12, "effort": 0}
    seen: list[int] = []
    one = pack_shards([idx], tmp_path / "one", workers=1, **how)
    two = pack_shards([idx], tmp_path / "two", workers=2, progress=lambda report, _: seen.append(report.shard), **how)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")
    assert sorted(seen) == list(range(6))
    assert one == two
    assert (two.shards, two.images, two.raw_bytes) == (6, 64, digits.size)
    assert two.bytes == sum(path.stat().st_size for path in (tmp_path / "two").glob("part-*"))


def test_the_command_packs_and_goes_on_after_a_stop(idx: Path, digits: Pixels, tmp_path: Path, capsys: Out) -> None:
    out, single = tmp_path / "out", tmp_path / "single.cae"
    command = ["compress", "--engine", "ray", str(idx), "-o", str(out), "-e", "0", "--workers", "2"]
    assert run([*command, "--shard-size", "1000"]) == 0
    assert "64 images, 50176 bytes raw" in capsys.readouterr().out
    assert run(["compress", str(idx), "-e", "0", "-o", str(single), "--quiet"]) == 0
    assert (out / "part-00000.cae").read_bytes() == single.read_bytes()  # as on a single machine
    assert run([*command, "--shard-size", "1000"]) == 1
    assert "--resume" in capsys.readouterr().err
    (out / "part-00000.cae").unlink()
    assert run([*command, "--shard-size", "1000", "--resume", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["images"], row["shards"], row["resumed"], row["bytes"]) == (64, 1, 0, single.stat().st_size)
    assert 26 < row["psnr_db"] < 32
    assert run([*command, "--shard-size", "1000", "--resume"]) == 0
    assert "1 of them from an earlier call" in capsys.readouterr().out


def test_what_cannot_be_packed_is_named_and_nothing_else_is_lost(digits: Pixels, tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "in").mkdir()
    whole = idx_header(digits.shape) + digits.tobytes()
    for name, content in (("a", whole), ("b", whole[:-1]), ("c", whole)):
        (tmp_path / "in" / name).write_bytes(content)
    command = ["compress", "--engine", "ray", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--lossless"]
    assert run(command) == 1
    output = capsys.readouterr().err
    assert output.count("\n") == 1
    assert "1 of 3 shards are missing" in output
    assert "part-00001" in output
    assert sorted(path.name for path in (tmp_path / "out").glob("part-*")) == ["part-00000.cae", "part-00002.cae"]
    (tmp_path / "in" / "b").write_bytes(whole)
    assert run([*command, "--resume"]) == 0
    assert "192 images" in capsys.readouterr().out
    assert all(len(mnistzip.Archive(path)) == 64 for path in (tmp_path / "out").glob("part-*"))


def test_a_folder_with_an_unreadable_image_exits_with_1(digit_png: Path, tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    out = str(tmp_path / "packed" / "out")
    assert run(["compress", "--engine", "ray", str(tmp_path), "-o", out, "--lossless"]) == 1
    output = capsys.readouterr()
    assert "bad.png is not a readable image" in output.err
    assert "1 image" in output.out


def test_the_commands_of_the_page_on_plugins_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    monkeypatch.chdir(tmp_path)
    section = (ROOT / "docs" / "plugins.md").read_text().split("## Ray\n")[1].split("\n## ")[0]
    lines = section.split("```sh\n")[1].split("```")[0].splitlines()
    assert [run(line.split()[1:]) for line in lines] == [0, 0]
    assert len(list((tmp_path / "shards").glob("part-*.cae"))) == 2


def test_workers_are_a_number(idx: Path, tmp_path: Path) -> None:
    from mnistzip.plugins.ray import pack_shards

    with pytest.raises(OptionError, match="workers"):
        pack_shards([idx], tmp_path / "out", workers=0)


def test_a_cluster_that_is_not_there_is_one_line(
    idx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    import ray

    def failing(**_: Any) -> None:
        raise ConnectionError("nobody answers")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", failing)
    assert run(["compress", "--engine", "ray", str(idx), "-o", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == "mnistzip: Ray cannot be started, resume tries again: nobody answers\n"


def test_without_ray_the_command_that_installs_it_is_named(idx: Path, tmp_path: Path) -> None:
    program = f"""
import sys
sys.modules["ray"] = None
from mnistzip.cli.main import run
sys.exit(run(["compress", "--engine", "ray", {str(idx)!r}, "-o", {str(tmp_path / "out")!r}]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "mnistzip: packing on a cluster needs Ray: pip install 'mnistzip[ray]'\n"


@pytest.mark.parametrize(
    "options",
    [
        ["--resume"],
        ["--workers", "2"],
        ["--to", "parquet"],
        ["--shard-size", "5"],
        ["--engine", "ray", "--append"],
        ["--engine", "ray", "--max-bytes", "20"],
        ["--engine", "ray", "-T", "2"],
    ],
)
def test_options_of_the_other_engine_are_wrong_usage(options: list[str], idx: Path, tmp_path: Path, capsys: Out) -> None:
    assert run(["compress", str(idx), "-o", str(tmp_path / "out"), *options]) == 2
    assert "--engine ray" in capsys.readouterr().err
