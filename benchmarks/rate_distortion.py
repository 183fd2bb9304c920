"""Measure rate and distortion of mnistzip in several ways; results go to ``docs/rate-distortion.json``.

    python benchmarks/rate_distortion.py curve    IMAGES --effort 9 -q 5 -q 20 -q 50 --count 1000
    python benchmarks/rate_distortion.py rising   IMAGES
    python benchmarks/rate_distortion.py packets  IMAGES --max-bytes 51 --count 1000
    python benchmarks/rate_distortion.py packets  IMAGES --max-bytes 11 --bare -q 20 --count 1000
    python benchmarks/rate_distortion.py readable TRAIN_IMAGES TRAIN_LABELS IMAGES LABELS -q 20 -q 50
    python benchmarks/rate_distortion.py work
    python benchmarks/rate_distortion.py plot

IMAGES and LABELS are IDX files. Sizes are of whole files (with ``--bare``, whole streams). PSNR is computed from the mean
squared error of the decoded images. ``readable`` trains a digit classifier on the originals and applies it to decoded digits;
it needs torch. ``plot`` draws ``docs/rate-distortion.png`` from these results, the benchmark, and published results of DRASIC;
it needs matplotlib.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

import mnistzip
from mnistzip import metrics
from mnistzip.idx import read_idx
from mnistzip.models.latent_prior import SIDE
from mnistzip.models.registry import shipped
from mnistzip.nn.layer_base import Layer
from mnistzip.nn.layers import Conv, DepthToSpace, Residual, SpaceToDepth
from mnistzip.tiling import TILE
from mnistzip.types import Pixels

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "rate-distortion.json"
PLOT = RESULTS.with_suffix(".png")
PEERS = ("webp", "jpeg", "jpegxl", "avif")
PSNR_MAX = 54  # of the plot
# Bytes and dB from Diao, Ding and Tarokh 2020, arXiv 1903.09887: digits smoothed to 32x32, without a header
DRASIC = ((16, 24.8), (32, 31.1), (48, 35.6))
PART = 125  # images that a process codes at a time
READER_EPOCHS = 8


def spaced(rows: NDArray[np.uint8], count: int | None) -> NDArray[np.uint8]:
    """``count`` evenly spaced images, since the first 5,000 test digits of MNIST are easier than the rest."""
    return rows if count is None else rows[np.arange(count) * len(rows) // count]


def code(images: Pixels, options: dict[str, Any]) -> tuple[list[int], Pixels, float]:
    """Sizes of files, decoded images, and processor seconds to encode."""
    began = time.process_time()
    files = mnistzip.encode_many(images, **options)
    seconds = time.process_time() - began
    model = options.get("model")
    if options.get("bare"):
        agreed = {"quality": options["quality"], "check_bits": options["check_bits"]} | ({"model": model} if model else {})
        decoded = [mnistzip.decode_bare(file, **agreed) for file in files]
    else:
        decoded = mnistzip.decode_many(files, model=model)
    return [len(file) for file in files], np.stack(decoded), seconds


def measure(images: Pixels, **options: Any) -> tuple[dict[str, float | None], Pixels]:
    """Mean and largest size, PSNR and time of images with some options, and the decoded images."""
    parts = [images[start : start + PART] for start in range(0, len(images), PART)]
    with ProcessPoolExecutor() as processes:
        coded = list(processes.map(partial(code, options=options), parts))
    sizes = [size for part, _, _ in coded for size in part]
    decoded = np.concatenate([pixels for _, pixels, _ in coded])
    row = {
        "images": len(images),
        "mean_bytes": round(float(np.mean(sizes)), 3),
        "most_bytes": max(sizes),
        "psnr_db": None if (images == decoded).all() else round(metrics.psnr(images, decoded), 3),
        "lossless": round(float((images == decoded).all((1, 2)).mean()), 4),
        "ms": round(1000 * sum(seconds for _, _, seconds in coded) / len(images), 2),
    }
    return row, decoded


def keep(key: str, rows: Sequence[dict[str, Any]] | dict[str, Any]) -> None:
    """Print results, and store them in the results file under a key."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[key] = rows
    RESULTS.write_text(json.dumps(dict(sorted(results.items())), indent=1) + "\n")
    for row in rows if isinstance(rows, list) else [rows]:
        click.echo(f"{key}: {row}")


@click.group()
def main() -> None:
    pass


images_argument = click.argument("images", type=click.Path(exists=True))
count_option = click.option("--count", type=int, help="Take only this number of images, evenly spaced.")
qualities_option = click.option("-q", "--quality", "qualities", type=int, multiple=True, required=True)
model_option = click.option("--model", default="mnist", show_default=True)


@main.command()
@images_argument
@qualities_option
@click.option("--effort", type=int, default=9, show_default=True)
@count_option
@model_option
def curve(images: str, qualities: tuple[int, ...], effort: int, count: int | None, model: str) -> None:
    """Size and PSNR at some qualities."""
    pixels = spaced(read_idx(Path(images)), count)
    rows = [
        {"quality": quality} | measure(pixels, quality=quality, effort=effort, model=model)[0] for quality in sorted(qualities)
    ]
    keep(f"{model}, effort {effort}", rows)


@main.command()
@images_argument
@click.option("--effort", type=int, default=0, show_default=True)
@count_option
@model_option
def rising(images: str, effort: int, count: int | None, model: str) -> None:
    """Measure the steps of size and PSNR between the qualities 1 to 100."""
    pixels = spaced(read_idx(Path(images)), count)
    rows = [measure(pixels, quality=quality, effort=effort, model=model)[0] for quality in range(1, 101)]
    falls: dict[str, Any] = {"images": len(pixels)}
    for name in ("mean_bytes", "psnr_db"):
        steps = np.diff([row[name] for row in rows])
        falls[f"{name}, least step"] = round(float(steps.min()), 4)
        falls[f"{name}, does not rise at"] = [int(at) + 2 for at in np.flatnonzero(steps <= 0)]
    keep(f"{model}, every quality, effort {effort}", falls)


@main.command()
@images_argument
@click.option("--max-bytes", type=int, required=True)
@click.option("--bare", is_flag=True)
@click.option("-q", "--quality", type=int, help="Quality of bare streams, which both ends agree on.")
@click.option("--check-bits", type=int, default=8, show_default=True)
@click.option("--effort", type=int, default=9, show_default=True)
@count_option
@model_option
def packets(
    images: str, max_bytes: int, bare: bool, quality: int | None, check_bits: int, effort: int, count: int | None, model: str
) -> None:
    """PSNR of images in packets of ``--max-bytes`` bytes; fails if an image does not fit."""
    pixels = spaced(read_idx(Path(images)), count)
    options: dict[str, Any] = {"max_bytes": max_bytes, "effort": effort, "model": model}
    if bare:
        options |= {"bare": True, "quality": quality, "check_bits": check_bits}
    row, _ = measure(pixels, **options)
    kind = f"bare, quality {quality}, {check_bits} check bits" if bare else "files"
    keep(f"{model}, {kind}, at most {max_bytes} bytes, effort {effort}", row)


@main.command()
@click.argument("train_images", type=click.Path(exists=True))
@click.argument("train_labels", type=click.Path(exists=True))
@images_argument
@click.argument("labels", type=click.Path(exists=True))
@click.option("-q", "--quality", "qualities", type=int, multiple=True)
@click.option("--packet", "packets", type=(int, int), multiple=True, help="Bare streams: quality and maximum of bytes.")
@click.option("--effort", type=int, default=3, show_default=True)
@count_option
@model_option
def readable(
    train_images: str,
    train_labels: str,
    images: str,
    labels: str,
    qualities: tuple[int, ...],
    packets: tuple[tuple[int, int], ...],
    effort: int,
    count: int | None,
    model: str,
) -> None:
    """Accuracy on decoded digits of a classifier that was trained on originals."""
    read = reader(read_idx(Path(train_images)), read_idx(Path(train_labels)))
    pixels, truth = read_idx(Path(images)), read_idx(Path(labels))
    results = {"originals": round(float((read(pixels) == truth).mean()), 4)}
    pixels, truth = spaced(pixels, count), spaced(truth, count)
    results["images"] = len(pixels)
    for quality in qualities:
        row, decoded = measure(pixels, quality=quality, effort=effort, model=model)
        results[f"quality {quality}, {row['mean_bytes']} B"] = round(float((read(decoded) == truth).mean()), 4)
    for quality, most in packets:
        options = {"quality": quality, "effort": effort, "model": model, "max_bytes": most, "bare": True, "check_bits": 8}
        _, decoded = measure(pixels, **options)
        results[f"bare, quality {quality}, at most {most} B"] = round(float((read(decoded) == truth).mean()), 4)
    keep(f"{model}, readable, effort {effort}", results)


@main.command()
@click.option("--model", "models", multiple=True, default=("mnist", "mnist-fast"), show_default=True)
def work(models: tuple[str, ...]) -> None:
    """Count the multiply-adds of a digit: those of convolutions, and of weights of the prior that are not 0."""
    counts = {}
    for name in models:
        model = shipped(name)
        parts = {"analysis": products(model.transforms.analysis, TILE), "synthesis": products(model.transforms.synthesis, SIDE)}
        prior = model.prior
        weights = (prior.near_weight, prior.far_weight, prior.skip_weight, prior.head_weight)
        parts["prior"] = sum(int(np.count_nonzero(weight)) for weight in weights)
        counts[name] = parts | {"decoding": parts["synthesis"] + parts["prior"]}
    keep("work", counts)


def products(layers: Sequence[Layer], side: int) -> int:
    """Multiply-adds of the convolutions of some layers, for an input of ``side`` x ``side``."""
    total = 0
    for layer in layers:
        if isinstance(layer, Conv):
            total += layer.weight.size * side**2
        elif isinstance(layer, Residual):
            total += products(layer.layers, side)
        elif isinstance(layer, SpaceToDepth):
            side //= layer.size
        elif isinstance(layer, DepthToSpace):
            side *= layer.size
    return total


@main.command()
def plot() -> None:
    """Draw the curves up to a PSNR with those of other codecs and the published points of DRASIC."""
    from matplotlib.figure import Figure

    from mnistzip.bench.report.label_placement import bytes_axis
    from mnistzip.bench.report.plots import styled
    from mnistzip.bench.results import read_results

    curves: dict[str, list[tuple[float, float]]] = {}
    for row in read_results(ROOT / "bench" / "results" / "results.json").rows:
        if row.codec in {"auto", "mnist-e0", "mnist", *PEERS} and row.mean_bytes and row.psnr_db is not None:
            curves.setdefault(row.label, []).append((row.mean_bytes, row.psnr_db))
    results = json.loads(RESULTS.read_text())
    if best := results.get("mnist, effort 9"):
        curves[f"mnistzip mnist, effort 9 ({best[0]['images']} of the digits)"] = [
            (row["mean_bytes"], row["psnr_db"]) for row in best
        ]
    with styled():
        figure = Figure(figsize=(7.6, 6), layout="constrained")
        axes = figure.subplots()
        bytes_axis(axes.xaxis, [size for points in curves.values() for size, _ in points])
        for label, points in curves.items():
            ours = label.startswith("mnistzip")
            axes.plot(*zip(*sorted(points), strict=True), marker="o" if ours else ".", linewidth=2 if ours else 1, label=label)
        axes.plot(*zip(*DRASIC, strict=True), "k*", markersize=11, label="DRASIC, published: smoothed to 32x32, no header")
        axes.set_xlabel("bytes of an image's file, mean")
        axes.set_ylabel("PSNR, dB")
        axes.set_ylim(17, PSNR_MAX)
        figure.legend(loc="outside lower center", ncols=2, fontsize=8)
        figure.savefig(PLOT, dpi=120, metadata={"Software": None})
    click.echo(f"{PLOT.name}: {len(curves)} curves")


def reader(images: Pixels, labels: NDArray[np.uint8]) -> Any:
    """A small convolutional network, trained to read digits: a function from images to labels."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in ((1, 32), (32, 64), (64, 128)):
        for inputs in (before, after):
            layers += [nn.Conv2d(inputs, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.4), nn.Linear(128 * 9, 10)).to(
        memory_format=torch.channels_last
    )
    x, y = torch.tensor(images).unsqueeze(1).float() / 255, torch.tensor(labels).long()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
    steps = len(x) // 200 * READER_EPOCHS
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, steps)
    for _ in range(READER_EPOCHS):
        order = torch.randperm(len(x))
        for start in range(0, len(x) - 199, 200):
            part = order[start : start + 200]
            right, down = torch.randint(-2, 3, (2,)).tolist()
            with torch.autocast("cpu", torch.bfloat16):
                loss = F.cross_entropy(network(x[part].roll((right, down), (2, 3))).float(), y[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()

    def read(pixels: Pixels) -> NDArray[np.int64]:
        with torch.no_grad():
            parts = torch.split(torch.tensor(pixels).unsqueeze(1).float() / 255, 500)
            return torch.cat([network(part).argmax(1) for part in parts]).numpy()

    return read


if __name__ == "__main__":
    main()
