"""From the weights of the float model ``grey`` to a model file, its report and its card.

    python -m mnistzip.training.grey_recipe runs/grey.pt pictures.npz -o pretrained/grey.npz

Qualities get the levels at which held-out pictures have the PSNR of :data:`PSNR`, the bounds of the symbols follow from the
largest ones of training pictures, and the curvature from random changes of held-out ones.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from mnistzip.api import decode_many, encode_many
from mnistzip.bitstream.bounded import nearest
from mnistzip.entropy.cost import BIT, COST
from mnistzip.metrics import psnr_of_mse
from mnistzip.models.grey.grey_file import read_grey, read_grey_pixels
from mnistzip.models.grey.grey_model import GreyModel
from mnistzip.models.grey.prior import CHANNELS
from mnistzip.models.model_file import QUALITIES
from mnistzip.models.registry import SHIPPED, read_model
from mnistzip.nn.blas_threads import one_thread
from mnistzip.storage.atomic import AtomicFile
from mnistzip.training.export_grey import export_grey
from mnistzip.training.export_grey_pixels import export_pixels, with_pixels
from mnistzip.training.grey_trainer import GreyPixelsTrainer, GreyTrainer
from mnistzip.training.model_card import card
from mnistzip.training.picture_trainer import load_weights
from mnistzip.training.run_folder import report_paths
from mnistzip.training.splits import HELD_OUT
from mnistzip.training.torch_grey import Grey
from mnistzip.training.torch_grey_pixels import GreyPixels
from mnistzip.training.trainer import Run
from mnistzip.types import Pixels

PSNR = ((1, 18.5), (10, 21.2), (25, 24.9), (50, 27.3), (75, 30.8), (100, 42.0))  # dB; up to quality 75 those of mnist
GRID = 34  # levels that are measured
REPORTED = (1, 10, 25, 50, 75, 90, 100)
PROBES = 240  # held-out pictures that levels are measured on
SEEN = 900  # training pictures that bounds are taken from
CURVED = 60  # held-out pictures that curvatures are measured on
PART = 40  # pictures at a time
ERRORS = (0, 1, 4, 8)  # largest errors at which the pixel model is measured
PROBE_PIXELS = 28 * 28  # of the size that qualities are chosen on, or the nearest one

NAME = "grey"  # of the recipe and its first stage
PIXELS_SHARE = 0.35  # of the time: for the pixel model
FEW_OF_A_SIZE, SIZE_STEP, CUT_SIDE_MAX, CUTS_MAX = 16, 8, 96, 16  # how pictures are cut to common sizes

Stacks = dict[str, Pixels]  # pictures by size, uint8 (N, H, W)


def read_stacks(paths: Sequence[Path], part: str) -> Stacks:
    """The pictures ``train`` or ``held`` of files of :mod:`mnistzip.training.pictures`."""
    stacks: dict[str, list[Pixels]] = {}
    for path in paths:
        with np.load(path) as arrays:
            for name in arrays.files:
                if name.startswith(f"{part}-"):
                    stacks.setdefault(name, []).append(arrays[name])
    return {name: np.concatenate(parts) for name, parts in stacks.items()}


@one_thread
def finish(model: Grey, train: Stacks, held_out: Stacks) -> tuple[bytes, torch.Tensor]:
    """The model file of trained weights, and the level of each quality."""
    probes = probes_of(held_out)
    everything = np.full((QUALITIES, CHANNELS), 1)
    even = torch.linspace(0, 1, QUALITIES)
    plain = read_grey(export_grey(model, even, everything, everything), "levels").networks
    measured = np.unique(np.linspace(0, QUALITIES - 1, GRID).round().astype(int))
    reached = [measure(plain, probes, index)[1] for index in measured.tolist()]
    levels = torch.from_numpy(_levels(even.numpy()[measured], np.array(reached))).float()
    plain = read_grey(export_grey(model, levels, everything, everything), "levels").networks
    largest = _largest(plain, train)
    content = export_grey(model, levels, largest, _curvature(plain, probes[:CURVED]))
    return content, levels


def probes_of(stacks: Stacks) -> Pixels:
    """Pictures of one size, that of MNIST's or the nearest."""
    sizes = {name: stack[0].size for name, stack in stacks.items() if len(stack) >= min(PROBES, max(map(len, stacks.values())))}
    return stacks[min(sizes, key=lambda name: (abs(sizes[name] - PROBE_PIXELS), name))][:PROBES]


def measure(model: GreyModel, x: Pixels, index: int) -> tuple[float, float]:
    """Mean ideal bytes and PSNR of pictures of one size at the index of a quality, at effort 0."""
    bits = error = 0
    for start in range(0, len(x), PART):
        part = x[start : start + PART]
        y = model.analyse(part, index)
        _, freqs = model.prior.intervals(y, index)
        bits += int(COST[freqs].sum())
        x_hat = model.synthesize(y, index, *part.shape[1:])
        error += int(np.square(x_hat.astype(np.int64) - part).sum())
    return bits / BIT / 8 / len(x), psnr_of_mse(error / x.size)


def _levels(grid: NDArray[np.floating], reached: NDArray[np.floating]) -> NDArray[np.float64]:
    """The level of each quality: where the PSNR that a level reaches is that of the quality; the last is 1."""
    rising = np.maximum.accumulate(reached) + np.arange(len(reached)) * 1e-6
    qualities, wanted = np.array(PSNR).T
    wanted[-1] = max(float(rising[-1]), wanted[-2] + 1)
    wanted[0] = max(float(rising[0]), wanted[0])
    wanted = np.maximum.accumulate(wanted)
    return np.interp(np.interp(np.arange(1, QUALITIES + 1), qualities, wanted), rising, grid)


def _largest(model: GreyModel, stacks: Stacks) -> NDArray[np.int64]:
    """The largest symbols of some training pictures of each size, (100, 16), rising with the quality."""
    largest = np.zeros((QUALITIES, CHANNELS), np.int64)
    for stack in stacks.values():
        some = stack[:: max(1, len(stack) * len(stacks) // SEEN)]
        for index in range(QUALITIES):
            largest[index] = np.maximum(largest[index], np.abs(model.analyse(some, index)).max(axis=(0, 1, 2)))
    return np.maximum.accumulate(largest)


def _curvature(model: GreyModel, x: Pixels) -> NDArray[np.float64]:
    """Squared error that a change of a symbol by one causes, (100, 16), estimated as Hutchinson (1990) does."""
    chance = np.random.default_rng(1)
    rows, measured = [], np.unique(np.linspace(0, QUALITIES - 1, GRID).round().astype(int))
    for index in measured.tolist():
        _, tapes = model.trace(model.analyse(x, index), index)
        signs = chance.choice(np.array([-1, 1], np.float32), tapes[-1].out.shape[:3])
        rows.append(np.square(model.back(tapes, signs, index).astype(np.float64)).mean(axis=(0, 1, 2)))
    every = np.arange(QUALITIES)
    logarithms = np.log(np.maximum(np.array(rows), 1e-3))
    return np.exp(np.stack([np.interp(every, measured, column) for column in logarithms.T], axis=1))


@one_thread
def with_trained_pixels(content: bytes, name: str, model: GreyPixels, held_out: Pixels) -> tuple[bytes, list[dict[str, float]]]:
    """The model file with a pixel model, and mean bytes of held-out pictures ``(N, H, W)`` for each largest error."""
    content = with_pixels(content, name, export_pixels(model))
    integers, read = read_grey_pixels(content, name), read_model(content, name)
    rows = []
    for max_error in ERRORS:
        x = nearest(held_out, max_error)
        _, freqs = integers.intervals(x, max_error)
        with torch.no_grad():
            bits = float(model(torch.from_numpy(x), torch.full((len(x),), max_error)).sum())
        files = encode_many(list(held_out), model=read, **({"max_error": max_error} if max_error else {"lossless": True}))
        sizes = bits / 8, int(COST[freqs].sum()) / BIT / 8, sum(map(len, files))
        kinds = ("float_bytes", "integer_bytes", "file_bytes")
        rows.append({"max_error": max_error} | {kind: round(size / len(x), 3) for kind, size in zip(kinds, sizes, strict=True)})
    return content, rows


def described(content: bytes, report: dict[str, Any], pixels: dict[str, Any]) -> dict[str, Any]:
    """The report of a model file with a pixel model.

    Args:
        pixels: command, seed, threads, stages and results.
    """
    facts = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "fingerprint": read_model(content, report["model"]).fingerprint.hex(),
        "bytes": len(content),
    }
    return report | facts | {"pixel_model": pixels}


def report_of(
    content: bytes, model: Grey, levels: torch.Tensor, held_out: Stacks, name: str, about: dict[str, Any]
) -> dict[str, Any]:
    """The report of a model: what :mod:`mnistzip.training.model_card` shows."""
    read = read_model(content, name, SHIPPED.get(name))
    probes = probes_of(held_out)
    rows, integers = [], []
    for quality in REPORTED:
        files = encode_many(probes, quality=quality, effort=0, model=read)
        decoded = np.stack(decode_many(files, model=read))
        error = float(np.square(decoded.astype(np.float64) - probes).mean())
        size = sum(map(len, files)) / len(files)
        rows.append({"quality": quality, "bytes": round(size, 3), "psnr_db": round(psnr_of_mse(error), 3)})
        ideal, psnr = measure(read.grey, probes, quality - 1)
        x = torch.from_numpy(probes).float()[:, None] / 255
        with torch.no_grad():
            bits, squared = model(x, levels[quality - 1].expand(len(x)))
        integers.append(
            {
                "quality": quality,
                "float_bytes": float(bits.mean()) / 8,
                "float_psnr_db": psnr_of_mse(float(squared.mean()) / probes[0].size * 255**2),
                "integer_bytes": ideal,
                "integer_psnr_db": psnr,
            }
        )
    return {
        "model": name,
        "recipe": NAME,
        "sha256": hashlib.sha256(content).hexdigest(),
        "fingerprint": read.fingerprint.hex(),
        "bytes": len(content),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "device": "cpu",
        "held_out": rows,
        "integers": integers,
        "levels": [round(level, 4) for level in levels.tolist()],
        **about,
    }


def write(out: Path, content: bytes, report: dict[str, Any], command: str, force: bool, more: str = "") -> None:
    """Write the model file, its report and its card, with ``more`` behind it."""
    report_path, card_path = report_paths(out)
    for path, written in (
        (out, content),
        (report_path, json.dumps(report, indent=2).encode() + b"\n"),
        (card_path, (card(report, command) + more).encode()),
    ):
        with AtomicFile(path, new=not force) as file:
            file.write(written)


def train(
    images: Sequence[Pixels], about: dict[str, Any], out: Path, run: Run, seconds: float, command: str, force: bool
) -> dict[str, Any]:
    """Train a model on pictures of any sizes, or resume its training, and write its file, report and card.

    Args:
        images: uint8 ``(H, W)`` each, in random order; the last tenth is held out.
        about: description of the images for the report.
        out: the ``.npz`` to write.
        run: its folder contains the checkpoint of a run to resume.
        seconds: of the training; the model file takes a minute more.
        command: for the card.
        force: replace files that other programs wrote to these paths during the training.

    Returns:
        The report.
    """
    held = min(HELD_OUT, max(1, len(images) // 10))
    training, held_out = stacks_of(images[:-held], run.seed), stacks_of(images[-held:], run.seed)
    run.log(f"{len(images) - held} images to train on, {held} held out")
    stacks = {name: torch.from_numpy(stack) for name, stack in training.items()}
    lossy = GreyTrainer(Grey().train(), (1 - PIXELS_SHARE) * seconds / 60, run.seed)
    pixels = GreyPixelsTrainer(GreyPixels().train(), PIXELS_SHARE * seconds / 60, run.seed)
    for trainer, checkpoint in ((lossy, run.folder / f"{NAME}.pt"), (pixels, run.folder / f"{NAME}-pixels.pt")):
        torch.manual_seed(run.seed)
        if checkpoint.exists():
            trainer.load(checkpoint)
        trainer.run(stacks, checkpoint, run.log, run.stops)
    run.log("choosing the levels of the qualities")
    content, levels = finish(lossy.model.eval(), training, held_out)
    facts = {
        "data": about | {"train": len(images) - held, "held_out": held, "drawn": True},
        "seed": run.seed,
        "stages": [lossy.progress.described(GreyTrainer)],
        "threads": torch.get_num_threads(),
        "stopped": run.stopping,
    }
    report = report_of(content, lossy.model, levels, held_out, out.stem, facts)
    content, rows = with_trained_pixels(content, out.stem, pixels.model.eval(), probes_of(held_out))
    report = described(content, report, {"stages": [pixels.progress.described(GreyPixelsTrainer)], "held_out": rows})
    write(out, content, report, command, force)
    return report


def stacks_of(images: Sequence[Pixels], seed: int) -> Stacks:
    """Pictures by size. Sizes that few pictures have, and large ones, are cut to common sizes."""
    chance = np.random.default_rng(seed)
    counts = Counter(image.shape for image in images)
    stacks: dict[str, list[Pixels]] = {}
    for image in images:
        height, width = image.shape
        if counts[image.shape] < FEW_OF_A_SIZE or max(image.shape) > CUT_SIDE_MAX:
            height, width = (min(side // SIZE_STEP * SIZE_STEP or side, CUT_SIDE_MAX) for side in image.shape)
        for _ in range(min(CUTS_MAX, max(1, image.size // (4 * height * width)))):
            top, left = (int(chance.integers(a - b + 1)) for a, b in zip(image.shape, (height, width), strict=True))
            stacks.setdefault(f"{height}x{width}", []).append(image[top : top + height, left : left + width])
    return {name: np.stack(stack) for name, stack in stacks.items()}


FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("checkpoint", type=FILE)
@click.argument("pictures", nargs=-1, required=True, type=FILE)
@click.option("-o", "--output", required=True, type=FILE, help="The model file to write.")
@click.option("-f", "--force", is_flag=True, help="Overwrite files.")
def main(checkpoint: Path, pictures: Sequence[Path], output: Path, force: bool) -> None:
    """Make a model file of a checkpoint of mnistzip.training.grey_trainer."""
    for path in () if force else (output, *report_paths(output)):
        if path.exists():
            raise click.UsageError(f"{path} exists already: -f overwrites it")
    model, progress = load_weights(Grey(), checkpoint)
    train, held_out = read_stacks(pictures, "train"), read_stacks(pictures, "held")
    content, levels = finish(model, train, held_out)
    counts = [sum(map(len, stacks.values())) for stacks in (train, held_out)]
    names = shlex.join(path.name for path in pictures)
    about = {
        "data": {"source": names, "train": counts[0], "held_out": counts[1], "drawn": True},
        "seed": progress.seed,
        "stages": [progress.described(GreyTrainer)],
        "threads": progress.threads,
        "stopped": progress.passed < progress.seconds,
    }
    command = f"python -m mnistzip.training.grey_trainer {names} --minutes {progress.seconds / 60:g} --out grey.pt"
    write(output, content, report_of(content, model, levels, held_out, output.stem, about), command, force)


if __name__ == "__main__":
    main()
