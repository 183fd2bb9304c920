"""The stages in which a codec and the head of its prior are trained, all for bits + lmbda * squared error.

Each image of a batch draws its own quality. Losses of different lmbda are brought to similar size by a power of lmbda, so
that no end of the range owns the gradient. A stage may search latents (see :mod:`mnistzip.training.latent_search`), may run
on the
integers that will be exported (quantization-aware), and may leave alone what decides the latents.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mnistzip.metrics import PEAK as WHITE, psnr_of_mse
from mnistzip.training.latent_search import search
from mnistzip.training.rd_model import Coder
from mnistzip.training.splits import Split
from mnistzip.training.torch_codec import qualities
from mnistzip.training.torch_layers import dequantize, quantize
from mnistzip.training.trainer import Phase, Run, Schedule

PROBES = (1, 25, 50, 75, 100)  # qualities that the log follows
PROBE_IMAGES = 200
PROBE_PASSES = 8  # of the search that the log follows
BALANCE = 0.42  # losses are divided by lmbda to this power
EDGE = 0.05  # level draws are clipped from so far beyond 0 and 1, as the ends have neighbours on one side only
SLACK = 0.3  # how far from a searched symbol a latent may lie without being drawn to it
PULL_BITS = 0.2  # what a distance of one costs in bits, beside the error it makes
SHIFT = 1.0  # pixels that images are moved by at most in :func:`vary`
OBSERVED = 32  # images of a batch that the curvature is observed on


@dataclass(frozen=True)
class Stage:
    """What to do for how long.

    Attributes:
        passes: of the search; 0 trains on what the analysis alone gives.
        quantized: run on integers.
        frozen: leave alone all that decides the latents.
        changed: share of the images that are slightly rotated, slanted, scaled and shifted, against overfitting.
        fresh_head: the head of the prior is new and learns much faster than the rest.
    """

    name: str
    schedule: Schedule
    passes: int = 0
    quantized: bool = False
    frozen: bool = False
    changed: float = 0.0
    fresh_head: bool = False


def train_stage(coder: Coder, split: Split, stage: Stage, run: Run) -> Phase:
    """Train, or go on with, one stage."""
    for part in coder.codec.frozen():
        part.requires_grad_(not stage.frozen)
    switch = quantize if stage.quantized else dequantize
    fast = coder.head if stage.fresh_head else None
    phase = Phase(stage.name, run, coder, stage.schedule, prepare=lambda: switch(coder), fast=fast)
    probe = split.held_out[:PROBE_IMAGES].float() / WHITE

    def loss(x: Tensor) -> Tensor:
        x = vary(x, stage.changed)
        level = (torch.rand(len(x)) * (1 + 2 * EDGE) - EDGE).clamp(0, 1)
        lmbda = coder.codec.config.lmbda(level)
        return (costs(coder, x, level, lmbda, stage.passes) * lmbda**-BALANCE).mean()

    phase.train(split.train, loss, lambda: measure(coder, probe, PROBE_PASSES if stage.passes else 0))
    coder.eval()
    switch(coder)
    return phase


def costs(coder: Coder, x: Tensor, level: Tensor, lmbda: Tensor, passes: int) -> Tensor:
    """What is minimized, for each image: (N,).

    Without a search, the cost of the latents that the analysis gives. With one, half of it, and half the cost of the latents
    found, for prior and synthesis, and half of what it would cost to reach those from the analysis.
    """
    latent = coder.latent(x, level)
    bits, error = coder.rounded(x, latent, level)
    if not passes:
        return bits + lmbda * error
    found, _, _ = search(coder, x, torch.floor(latent.detach() + 0.5), level, lmbda, passes)
    coder.observe_curvature(x[:OBSERVED], found[:OBSERVED], level[:OBSERVED])
    found_bits, found_error, _ = coder.cost(x, found, level)
    beyond = ((latent - found).abs() - SLACK).clamp(min=0)
    pull = ((lmbda[:, None] * coder.curvature(level) + PULL_BITS) * beyond.square()).sum(1)
    return 0.5 * (bits + lmbda * error + found_bits + lmbda * found_error + pull)


def vary(x: Tensor, share: float) -> Tensor:
    """Images of which a share is redrawn a little rotated, slanted, scaled and shifted."""
    count = round(len(x) * share)
    if not count:
        return x
    change = torch.eye(2, 3).repeat(count, 1, 1)
    change[:, :, :2] += (torch.rand(count, 2, 2) - 0.5) * 0.16
    change[:, :, 2] = (torch.rand(count, 2) - 0.5) * 2 * SHIFT / x.shape[-1] * 2
    grid = F.affine_grid(change, [count, *x.shape[1:]], align_corners=False)
    redrawn = F.grid_sample(x[:count], grid, mode="bicubic", align_corners=False).clamp(0, 1)
    return torch.cat([torch.round(redrawn * WHITE) / WHITE, x[count:]])


def measure(coder: Coder, x: Tensor, passes: int) -> dict[str, float]:
    """Ideal bytes and PSNR at some qualities, of the analysis alone and, if there are passes, after a search.

    And, as ``held_out``, what is minimized, of these qualities.
    """
    row: dict[str, float] = {}
    total = 0.0
    for quality in PROBES:
        level = qualities()[quality - 1].expand(len(x))
        with torch.no_grad():
            latent = coder.latent(x, level)
            bits, error = coder.rounded(x, latent, level)
        row |= _told(f"@{quality}", bits, error, x)
        lmbda = coder.codec.config.lmbda(level)
        if passes:
            _, bits, error = search(coder, x, torch.floor(latent + 0.5), level, lmbda, passes)
            row |= _told(f"@{quality}+", bits, error, x)
        total += ((bits + lmbda * error) * lmbda**-BALANCE).mean().item()
    return row | {"held_out": total / len(PROBES)}


def _told(at: str, bits: Tensor, error: Tensor, x: Tensor) -> dict[str, float]:
    mse = error.double().mean().item() * WHITE**2 / x[0].numel()
    return {f"bytes{at}": bits.double().mean().item() / 8, f"dB{at}": psnr_of_mse(mse)}


def cost_of_integers(coder: Coder, x: Tensor, levels: Tensor) -> list[dict[str, float]]:
    """Ideal bytes and PSNR of the same weights on the integer grid and in float, for images in 0..1, by quality.

    ``levels`` are those of the qualities, shape (100,).
    """
    rows = []
    with torch.no_grad():
        for quality in PROBES:
            row: dict[str, float] = {"quality": quality}
            for name, switch in (("float", dequantize), ("integer", quantize)):
                switch(coder)
                parts = [coder(part, levels[quality - 1].expand(len(part))) for part in torch.split(x, 500)]
                bits, error = (torch.cat(values) for values in zip(*parts, strict=True))
                told = _told("", bits, error, x)
                row |= {f"{name}_bytes": round(told["bytes"], 4), f"{name}_psnr_db": round(told["dB"], 4)}
            rows.append(row)
    return rows
