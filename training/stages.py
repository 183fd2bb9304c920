"""Training stages of a codec and the head of its prior. Each one minimizes ``bits + lmbda * squared error``.

Each image of a batch gets a random level. A power of lmbda divides each loss, so that no part of the range of levels dominates
the gradient. A stage can search latents (see :mod:`mnistzip.training.latent_search`), run on the integers of the exported model
(quantization-aware training), or freeze the modules that determine the latents.

Source: Ballé et al. 2017, arXiv 1611.01704 (rate-distortion loss).
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
from mnistzip.training.trainer import Run, Schedule, StageTrainer

PROBES = (1, 25, 50, 75, 100)  # qualities in the log
PROBE_IMAGES = 200
PROBE_PASSES = 8  # of the search for the log
BALANCE = 0.42  # power of lmbda that divides losses
EDGE = 0.05  # levels are drawn from -EDGE to 1 + EDGE and clipped, as 0 and 1 have neighbours on one side only
SLACK = 0.3  # distance between a latent and its searched symbol that costs nothing
PULL_BITS = 0.2  # bits that a distance of one costs, in addition to the error that it causes
MAX_SHIFT = 1.0  # pixels, in :func:`vary`
CURVATURE_IMAGES = 32  # of a batch, for the estimate of the curvature


@dataclass(frozen=True)
class Stage:
    """One training stage.

    Attributes:
        passes: of the search; 0 trains on the rounded latents of the analysis.
        quantized: run on integers.
        frozen: do not train the modules that determine the latents.
        changed: share of the images that are slightly rotated, slanted, scaled and shifted, against overfitting.
        fresh_head: the head of the prior is untrained and learns much faster than the other modules.
    """

    name: str
    schedule: Schedule
    passes: int = 0
    quantized: bool = False
    frozen: bool = False
    changed: float = 0.0
    fresh_head: bool = False


def train_stage(coder: Coder, split: Split, stage: Stage, run: Run) -> StageTrainer:
    """Train one stage, or continue it from its checkpoint."""
    for part in coder.codec.frozen():
        part.requires_grad_(not stage.frozen)
    switch = quantize if stage.quantized else dequantize
    fast = coder.head if stage.fresh_head else None
    trainer = StageTrainer(stage.name, run, coder, stage.schedule, prepare=lambda: switch(coder), fast=fast)
    probe = split.held_out[:PROBE_IMAGES].float() / WHITE

    def loss(x: Tensor) -> Tensor:
        x = vary(x, stage.changed)
        level = (torch.rand(len(x)) * (1 + 2 * EDGE) - EDGE).clamp(0, 1)
        lmbda = coder.codec.config.lmbda(level)
        return (costs(coder, x, level, lmbda, stage.passes) * lmbda**-BALANCE).mean()

    trainer.train(split.train, loss, lambda: measure(coder, probe, PROBE_PASSES if stage.passes else 0))
    coder.eval()
    switch(coder)
    return trainer


def costs(coder: Coder, x: Tensor, level: Tensor, lmbda: Tensor, passes: int) -> Tensor:
    """The loss of each image, (N,).

    Without a search: the cost of the rounded latents of the analysis. With a search, half the sum of three terms: that cost,
    the cost of the searched latents, which trains prior and synthesis, and the weighted squared distance between the latents
    of the analysis and the searched ones, which trains the analysis.
    """
    latent = coder.latent(x, level)
    bits, error = coder.rounded(x, latent, level)
    if not passes:
        return bits + lmbda * error
    best, _, _ = search(coder, x, torch.floor(latent.detach() + 0.5), level, lmbda, passes)
    coder.observe_curvature(best[:CURVATURE_IMAGES], level[:CURVATURE_IMAGES])
    best_bits, best_error, _ = coder.cost(x, best, level)
    distance = ((latent - best).abs() - SLACK).clamp(min=0)
    pull = ((lmbda[:, None] * coder.curvature(level) + PULL_BITS) * distance.square()).sum(1)
    return 0.5 * (bits + lmbda * error + best_bits + lmbda * best_error + pull)


def vary(x: Tensor, share: float) -> Tensor:
    """Rotate, slant, scale and shift a share of the images slightly: (N, 1, 28, 28) in 0..1, the first ones change."""
    count = round(len(x) * share)
    if not count:
        return x
    change = torch.eye(2, 3).repeat(count, 1, 1)
    change[:, :, :2] += (torch.rand(count, 2, 2) - 0.5) * 0.16
    change[:, :, 2] = (torch.rand(count, 2) - 0.5) * 2 * MAX_SHIFT / x.shape[-1] * 2
    grid = F.affine_grid(change, [count, *x.shape[1:]], align_corners=False)
    varied = F.grid_sample(x[:count], grid, mode="bicubic", align_corners=False).clamp(0, 1)
    return torch.cat([torch.round(varied * WHITE) / WHITE, x[count:]])


def measure(coder: Coder, x: Tensor, passes: int) -> dict[str, float]:
    """Ideal bytes and PSNR at the qualities :data:`PROBES`, of rounded latents and, with ``passes``, of searched ones ("+").

    ``held_out`` is the mean loss over these qualities.
    """
    results: dict[str, float] = {}
    total = 0.0
    for quality in PROBES:
        level = qualities()[quality - 1].expand(len(x))
        with torch.no_grad():
            latent = coder.latent(x, level)
            bits, error = coder.rounded(x, latent, level)
        results |= _bytes_and_psnr(f"@{quality}", bits, error, x)
        lmbda = coder.codec.config.lmbda(level)
        if passes:
            _, bits, error = search(coder, x, torch.floor(latent + 0.5), level, lmbda, passes)
            results |= _bytes_and_psnr(f"@{quality}+", bits, error, x)
        total += ((bits + lmbda * error) * lmbda**-BALANCE).mean().item()
    return results | {"held_out": total / len(PROBES)}


def _bytes_and_psnr(suffix: str, bits: Tensor, error: Tensor, x: Tensor) -> dict[str, float]:
    mse = error.double().mean().item() * WHITE**2 / x[0].numel()
    return {f"bytes{suffix}": bits.double().mean().item() / 8, f"dB{suffix}": psnr_of_mse(mse)}


def cost_of_integers(coder: Coder, x: Tensor, levels: Tensor) -> list[dict[str, float]]:
    """Ideal bytes and PSNR of the same weights as floats and as integers, for images in 0..1, one row per quality.

    Args:
        levels: the level of each quality, shape (100,).
    """
    rows = []
    with torch.no_grad():
        for quality in PROBES:
            row: dict[str, float] = {"quality": quality}
            for name, switch in (("float", dequantize), ("integer", quantize)):
                switch(coder)
                parts = [coder(part, levels[quality - 1].expand(len(part))) for part in torch.split(x, 500)]
                bits, error = (torch.cat(values) for values in zip(*parts, strict=True))
                result = _bytes_and_psnr("", bits, error, x)
                row |= {f"{name}_bytes": round(result["bytes"], 4), f"{name}_psnr_db": round(result["dB"], 4)}
            rows.append(row)
    return rows
