"""Kill writers at random moments and check the files: each must be the complete old file or the complete new one.

    OPENBLAS_NUM_THREADS=1 python tools/kill.py [--times 500] [--seed 1]

The victims, in turn: ``mnistzip compress -f`` over a file, over an archive, ``compress --append``, ``decompress -f``, and a
training that writes its checkpoint repeatedly (omitted with a message without torch). Each runs in a fork of this
process, so that the kill occurs during the work and not during Python's start. The moments cover the time that a complete run
takes, denser towards its end, where files are written. After each kill the script reads the file, and the
same command must succeed. Prints a table; the exit code is the number of broken files.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np

import mnistzip
from mnistzip.cli.main import run
from mnistzip.idx import read_idx
from reliability_table import Table, record_option

DIGITS = read_idx(Path(__file__).parents[1] / "tests" / "data" / "digits-idx3-ubyte.gz")
MANY = np.tile(DIGITS, (20, 1, 1))  # two groups


@dataclass(frozen=True)
class Victim:
    """Something that writes a file.

    Attributes:
        prepare: writes the old file.
        work: writes the new file.
        whole: whether the file can be read.
    """

    name: str
    path: Path
    prepare: Callable[[], None]
    work: Callable[[], object]
    whole: Callable[[], bool]


def victims(folder: Path) -> list[Victim]:
    """All victims, each with a separate folder."""
    single, archive, grown, image = (folder / name / "x.cae" for name in ("single", "archive", "append", "image"))
    for path in (single, archive, grown, image):
        path.parent.mkdir()
    wide = folder / "wide.npy"
    np.save(wide, np.hstack(list(DIGITS))[None])
    many = folder / "many.npy"
    np.save(many, MANY)
    picture = image.with_suffix(".png")
    image.write_bytes(mnistzip.encode(np.hstack(list(DIGITS)), lossless=True))
    assert run(["decompress", str(image), "-o", str(folder / "wide.png"), "--quiet"]) == 0
    old, packed = mnistzip.encode(DIGITS[0]), mnistzip.encode_archive(DIGITS[:5])

    def command(*words: object) -> Callable[[], object]:
        return lambda: run([str(word) for word in (*words, "--quiet")])

    def reads(path: Path) -> Callable[[], bool]:
        def whole() -> bool:
            with mnistzip.Archive(path) as opened:
                return len(opened[:]) == len(opened)

        return whole

    def shows() -> bool:
        from PIL import Image

        with Image.open(picture) as opened:
            opened.load()
        return True

    found = [
        Victim(
            "compress -f, a file",
            single,
            lambda: write(single, old),
            command("compress", folder / "wide.png", "-o", single, "-f", "--lossless"),
            lambda: mnistzip.decode(single.read_bytes()).size > 0,
        ),
        Victim(
            "compress -f, an archive",
            archive,
            lambda: write(archive, packed),
            command("compress", many, "-o", archive, "-f", "-e", "0"),
            reads(archive),
        ),
        Victim(
            "compress --append",
            grown,
            lambda: write(grown, packed),
            command("compress", many, "-o", grown, "--append", "-e", "0"),
            reads(grown),
        ),
        Victim(
            "decompress -f",
            picture,
            lambda: write(picture, (folder / "wide.png").read_bytes()[:1] + b"old"),
            command("decompress", image, "-o", picture, "-f"),
            lambda: picture.read_bytes().endswith(b"old") or shows(),
        ),
    ]
    if importlib.util.find_spec("torch") is not None:
        found.append(checkpoint(folder / "training"))
    return found


def checkpoint(folder: Path) -> Victim:
    """A training of a tiny module, which does little else than write checkpoints: it draws no curves."""
    import torch

    from mnistzip.training import trainer as trainer_module
    from mnistzip.training.trainer import Run, Schedule, StageTrainer

    torch.set_num_threads(1)  # a fork has none of its parent's other threads
    images = torch.zeros((64, 1, 28, 28), dtype=torch.uint8)

    def trainer(epochs: int) -> StageTrainer:
        torch.manual_seed(1)
        module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 784))
        return StageTrainer("layer", Run(folder, 1, log=lambda _: None), module, Schedule(epochs=epochs, batch=64, rate=1e-3))

    def train(epochs: int) -> None:
        made = trainer(epochs)
        made.resume()
        with patch.object(trainer_module, "draw"):
            made.train(images, lambda x: made.module(x).square().mean())

    def whole() -> bool:
        made = trainer(1)
        made.resume()
        return made.epoch >= 1

    path = folder / "layer.pt"

    def begin() -> None:
        path.unlink(missing_ok=True)
        train(1)

    return Victim("training's checkpoints", path, begin, lambda: train(8), whole)


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def forked(work: Callable[[], object]) -> int:
    """The id of a new process that does the work."""
    process = os.fork()
    if process:
        return process
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    work()
    os._exit(0)


def seconds_of(victim: Victim) -> float:
    """Seconds that a victim takes without a kill, the minimum of three runs."""
    times = []
    for _ in range(3):
        victim.prepare()
        start = time.perf_counter()
        _, status = os.waitpid(forked(victim.work), 0)
        assert status == 0, f"{victim.name} fails without a kill"
        times.append(time.perf_counter() - start)
    return min(times)


def attempt(victim: Victim, after: float) -> Counter[str]:
    """Kill a victim after ``after`` seconds and return counts of the outcome."""
    victim.prepare()
    old = victim.path.read_bytes()
    process = forked(victim.work)
    time.sleep(after)
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    found: Counter[str] = Counter({"kills": status != 0, "too late": status == 0})
    try:
        whole = victim.whole()
    except Exception as error:
        print(f"{victim.name}, killed after {after:.4f} s: {error!r}", file=sys.stderr)
        whole = False
    found["broken"] = not whole
    found["old"] = whole and victim.path.read_bytes() == old
    found["new"] = whole and not found["old"]
    left = [path for path in victim.path.parent.iterdir() if "partial" in path.name]
    found["partial files left"] = len(left)
    victim.prepare()
    _, status = os.waitpid(forked(victim.work), 0)  # files that are left must not prevent the next run
    found["broken"] += status != 0 or not victim.whole()
    for path in left:
        path.unlink(missing_ok=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill writers at random moments and check the files.")
    parser.add_argument("--times", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    record_option(parser)
    options = parser.parse_args()
    random.seed(options.seed)
    columns = ("kills", "too late", "old", "new", "partial files left", "broken")
    table = Table("kills", "command (time without a kill)", *columns)
    broken = 0
    with TemporaryDirectory() as folder:
        every = victims(Path(folder))
        if len(every) < 5:
            print("the training is omitted: pip install 'mnistzip[train]'", file=sys.stderr)
        for number, victim in enumerate(every):
            times = options.times // len(every) + (number < options.times % len(every))
            whole = seconds_of(victim)
            found: Counter[str] = Counter()
            while found["kills"] < times:
                found += attempt(victim, whole * (1 - random.random() ** 2))
            table.add(f"{victim.name} ({whole:.2f} s)", *(found[column] for column in columns))
            broken += found["broken"]
    if options.record:
        table.keep(f"{options.times:,} kills, {broken or 'no'} broken files")
    sys.exit(min(broken, 100))


if __name__ == "__main__":
    main()
