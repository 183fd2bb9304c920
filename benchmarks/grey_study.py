"""Train the float model ``grey`` for some minutes, and compare it with WebP and JPEG XL on small pictures of many kinds.

    python -m mnistzip.training.pictures ... -o pictures.npz
    python benchmarks/picture_sets.py runs/sets
    python benchmarks/grey_study.py pictures.npz runs/sets/choose --minutes 15 --out runs/grey.pt

Sizes of ``grey`` are ideal code lengths plus 6 bytes for header, check and coder; those of the peers are whole files. The
BD-rate compares mean sizes over the PSNR that both reach.
"""

from __future__ import annotations

import argparse
import io
import math
import time
from collections.abc import Sequence
from pathlib import Path

import imagecodecs
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from mnistzip.metrics import psnr_of_mse
from mnistzip.training.muon import Muon
from mnistzip.training.torch_grey import Grey
from mnistzip.types import Pixels

OVERHEAD = 6  # bytes of header, check and coder
BATCH_PIXELS = 49_152
BALANCE = 0.42  # power of lmbda that divides losses
EDGE = 0.05  # levels are drawn from -EDGE to 1 + EDGE and clipped
LEVELS = np.linspace(0, 1, 13)
WEBP_QUALITIES = (*range(0, 100, 4), 98, 100)
JXL_DISTANCES = (0.3, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 11, 15)
SHOWN = (20, 25, 30, 35, 40)  # dB

Curve = list[tuple[float, float]]  # mean bytes and PSNR


def train(model: Grey, pictures: dict[str, torch.Tensor], minutes: float, rate: float, matrix_rate: float, seed: int) -> int:
    """Train for some minutes; returns the number of steps."""
    chance = np.random.default_rng(seed)
    matrices = [p for n, p in model.named_parameters() if p.ndim >= 2 and not n.endswith("rows") and "around" not in n]
    known = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in known]
    muon, adam = Muon(matrices, matrix_rate), torch.optim.AdamW(others, rate, betas=(0.9, 0.99), weight_decay=1e-4)
    names = list(pictures)
    weights = np.array([len(part) * part[0].numel() ** 0.6 for part in pictures.values()])
    began, steps = time.monotonic(), 0
    while (passed := (time.monotonic() - began) / (60 * minutes)) < 1:
        share = min(1.0, (steps + 1) / 300) * (0.02 + 0.49 * (1 + math.cos(math.pi * passed)))
        for optimizer, full in ((muon, matrix_rate), (adam, rate)):
            for group in optimizer.param_groups:
                group["lr"] = full * share
        part = pictures[names[chance.choice(len(names), p=weights / weights.sum())]]
        count = max(4, BATCH_PIXELS // part[0].numel())
        x = part[torch.from_numpy(chance.integers(0, len(part), count))].float()[:, None] / 255
        level = (torch.rand(count) * (1 + 2 * EDGE) - EDGE).clamp(0, 1)
        lmbda = model.lmbda(level)
        bits, error = model(x, level, torch.bfloat16)
        loss = ((bits + lmbda * error) * lmbda**-BALANCE).mean() / part[0].numel()
        muon.zero_grad()
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        muon.step()
        adam.step()
        steps += 1
    return steps


def curve_of_grey(model: Grey, images: Sequence[Pixels]) -> Curve:
    """Ideal sizes and PSNR at all levels."""
    shapes: dict[tuple[int, ...], list[Pixels]] = {}
    for image in images:
        shapes.setdefault(image.shape, []).append(image)
    curve = []
    with torch.no_grad():
        for level in LEVELS.tolist():
            size = error = 0.0
            for stack in shapes.values():
                x = torch.from_numpy(np.stack(stack)).float()[:, None] / 255
                bits, squared = model(x, torch.full((len(x),), level))
                size += float((bits / 8 + OVERHEAD).sum())
                error += float(squared.sum()) * 255**2
            curve.append(point(images, size, error))
    return curve


def point(images: Sequence[Pixels], size: float, error: float) -> tuple[float, float]:
    """Mean bytes and PSNR, given the sums of bytes and of squared errors."""
    return size / len(images), psnr_of_mse(error / sum(image.size for image in images))


def webp_curve(images: Sequence[Pixels]) -> Curve:
    """WebP by Pillow, method 6."""
    curve = []
    for quality in WEBP_QUALITIES:
        files = []
        for image in images:
            out = io.BytesIO()
            Image.fromarray(image).save(out, "WEBP", quality=quality, method=6)
            files.append(out.getvalue())
        decoded = [np.asarray(Image.open(io.BytesIO(file)).convert("L")) for file in files]
        curve.append(point(images, sum(map(len, files)), squared_error(images, decoded)))
    return curve


def jxl_curve(images: Sequence[Pixels]) -> Curve:
    """JPEG XL, effort 7."""
    curve = []
    for distance in JXL_DISTANCES:
        files = [imagecodecs.jpegxl_encode(image, distance=distance, effort=7, usecontainer=False) for image in images]
        decoded = [imagecodecs.jpegxl_decode(file) for file in files]
        curve.append(point(images, sum(map(len, files)), squared_error(images, decoded)))
    return curve


def squared_error(images: Sequence[Pixels], decoded: Sequence[Pixels]) -> float:
    """The sum over all pixels."""
    return float(sum(np.square(a.astype(float) - b).sum() for a, b in zip(images, decoded, strict=True)))


def rising(curve: Curve) -> NDArray[np.float64]:
    """The points of a curve, by size, that are better than all smaller ones: (n, 2)."""
    best: Curve = []
    for size, psnr in sorted(curve):
        if not best or psnr > best[-1][1]:
            best.append((size, psnr))
    return np.array(best)


def size_at(curve: Curve, psnr: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithms of sizes at some PSNR, between the points of a curve."""
    points = rising(curve)
    return np.interp(psnr, points[:, 1], np.log(points[:, 0]))


def bd_rate(curve: Curve, other: Curve) -> float:
    """Percent that a curve takes more than another, on the average of the PSNR that both reach; NaN if they share none."""
    low = max(rising(each)[0, 1] for each in (curve, other))
    high = min(rising(each)[-1, 1] for each in (curve, other))
    if high <= low:
        return math.nan
    psnr = np.linspace(low, high, 200)
    return 100 * math.expm1(float((size_at(curve, psnr) - size_at(other, psnr)).mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("pictures", type=Path)
    parser.add_argument("sets", type=Path)
    parser.add_argument("--minutes", type=float, default=15, help="0 only compares the model in --out")
    parser.add_argument("--out", type=Path, default=Path("runs/grey.pt"), help="weights; an existing file is continued")
    parser.add_argument("--rate", type=float, default=6e-3)
    parser.add_argument("--matrix-rate", type=float, default=0.015)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    torch.set_flush_denormal(True)
    model = Grey()
    if options.out.exists():
        model.load_state_dict(torch.load(options.out))
    if options.minutes:
        with np.load(options.pictures) as arrays:
            pictures = {name: torch.from_numpy(arrays[name]) for name in arrays.files if name.startswith("train-")}
        steps = train(model.train(), pictures, options.minutes, options.rate, options.matrix_rate, options.seed)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        torch.save(model.state_dict(), options.out)
        print(f"{steps} steps")
    model.eval()
    print("| set | against WebP | against JPEG XL |", *(f"{psnr} dB |" for psnr in SHOWN))
    for path in sorted(options.sets.glob("*.npz")):
        with np.load(path) as arrays:
            images = [np.ascontiguousarray(arrays[name]) for name in arrays.files]
        ours, webp, jxl = curve_of_grey(model, images), webp_curve(images), jxl_curve(images)
        sizes = np.exp(size_at(ours, np.array(SHOWN, float)))
        shares = sizes / np.exp(size_at(webp, np.array(SHOWN, float)))
        reached = [rising(ours)[0, 1] <= psnr <= rising(ours)[-1, 1] for psnr in SHOWN]
        shared = [rising(webp)[0, 1] <= psnr <= rising(webp)[-1, 1] for psnr in SHOWN]
        cells = [
            "" if not inside else f"{size:.0f} B ({share:.2f})" if both else f"{size:.0f} B"
            for size, share, inside, both in zip(sizes, shares, reached, shared, strict=True)
        ]
        print(f"| {path.stem} | {bd_rate(ours, webp):+.1f}% | {bd_rate(ours, jxl):+.1f}% |", *(f"{cell} |" for cell in cells))


if __name__ == "__main__":
    main()
