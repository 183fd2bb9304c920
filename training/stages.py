"""The stages that train a codec and its prior. All minimize ``bits + lmbda * squared error``.

    x (N, 1, 28, 28) in 0..1 -> augment -> level (N,) at random -> costs (N,) -> * lmbda^-0.42 -> mean

Each image of a batch has its own random quality. Losses are divided by a power of lmbda, so that neither low nor high qualities
dominate the gradient. A stage may search latents (:mod:`mnistzip.training.latent_search`), may compute with the integers that
are exported (quantization-aware training), and may freeze the networks that determine the latents.
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

PROBES = (1, 25, 50, 75, 100)  # qualities measured after each epoch
PROBE_IMAGES = 200
PROBE_PASSES = 8  # of the search in these measurements
BALANCE = 0.42  # losses are divided by lmbda to this power
EDGE = 0.05  # levels are drawn this far beyond 0..1 and clipped, so that the ends are drawn often enough
SLACK = 0.3  # distance of a latent from its searched symbol that costs nothing
PULL_BITS = 0.2  # cost of a squared distance of one in bits, in addition to its error
SHIFT_MAX = 1.0  # pixels, in :func:`augment`
CURVATURE_IMAGES = 32  # images of a batch that update the curvature


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Attributes:
        name: name of the stage and of its files.
        schedule: epochs and learning rates.
        passes: passes of the search; 0 trains with the latents of the analysis alone.
        quantized: compute with the integers of the exported model.
        frozen: freeze the networks that determine the latents.
        augmented: share of the images that are slightly rotated, slanted, scaled and shifted, to reduce overfitting.
        fresh_head: the output layer of the prior is new and has a much higher learning rate than the rest.
    """

    name: str
    schedule: Schedule
    passes: int = 0
    quantized: bool = False
    frozen: bool = False
    augmented: float = 0.0
    fresh_head: bool = False


def train_stage(coder: Coder, split: Split, stage: Stage, run: Run) -> Phase:
    """Train one stage, or continue it."""
    for part in coder.codec.frozen():
        part.requires_grad_(not stage.frozen)
    switch = quantize if stage.quantized else dequantize
    fast = coder.head if stage.fresh_head else None
    phase = Phase(stage.name, run, coder, stage.schedule, prepare=lambda: switch(coder), fast=fast)
    probe = split.held_out[:PROBE_IMAGES].float() / WHITE

    def loss(x: Tensor) -> Tensor:
        x = augment(x, stage.augmented)
        level = (torch.rand(len(x)) * (1 + 2 * EDGE) - EDGE).clamp(0, 1)
        lmbda = coder.codec.config.lmbda(level)
        return (costs(coder, x, level, lmbda, stage.passes) * lmbda**-BALANCE).mean()

    phase.train(split.train, loss, lambda: measure(coder, probe, PROBE_PASSES if stage.passes else 0))
    coder.eval()
    switch(coder)
    return phase


def costs(coder: Coder, x: Tensor, level: Tensor, lmbda: Tensor, passes: int) -> Tensor:
    """The loss of each image, before the weight of its lmbda: (N,).

    Without a search it is the cost of the latents of the analysis. With a search it is the mean of this cost and the cost of
    the searched latents, which trains prior and synthesis, plus half a pull of the analysis towards the searched latents.
    """
    latent = coder.latent(x, level)
    bits, error = coder.rounded(x, latent, level)
    if not passes:
        return bits + lmbda * error
    searched, _, _ = search(coder, x, torch.floor(latent.detach() + 0.5), level, lmbda, passes)
    coder.observe_curvature(x[:CURVATURE_IMAGES], searched[:CURVATURE_IMAGES], level[:CURVATURE_IMAGES])
    searched_bits, searched_error, _ = coder.cost(x, searched, level)
    beyond = ((latent - searched).abs() - SLACK).clamp(min=0)
    pull = ((lmbda[:, None] * coder.curvature(level) + PULL_BITS) * beyond.square()).sum(1)
    return 0.5 * (bits + lmbda * error + searched_bits + lmbda * searched_error + pull)


def augment(x: Tensor, share: float) -> Tensor:
    """Slightly rotate, slant, scale and shift a share of the images: float in 0..1, (N, 1, 28, 28)."""
    count = round(len(x) * share)
    if not count:
        return x
    transform = torch.eye(2, 3).repeat(count, 1, 1)
    transform[:, :, :2] += (torch.rand(count, 2, 2) - 0.5) * 0.16
    transform[:, :, 2] = (torch.rand(count, 2) - 0.5) * 2 * SHIFT_MAX / x.shape[-1] * 2
    grid = F.affine_grid(transform, [count, *x.shape[1:]], align_corners=False)
    redrawn = F.grid_sample(x[:count], grid, mode="bicubic", align_corners=False).clamp(0, 1)
    return torch.cat([torch.round(redrawn * WHITE) / WHITE, x[count:]])


def measure(coder: Coder, x: Tensor, passes: int) -> dict[str, float]:
    """Ideal bytes and PSNR at the qualities of :data:`PROBES`, and their mean loss as ``held_out``.

    ``bytes@50`` and ``dB@50`` are for latents of the analysis; with ``passes``, ``bytes@50+`` and ``dB@50+`` are after a
    search.
    """
    row: dict[str, float] = {}
    total = 0.0
    for quality in PROBES:
        level = qualities()[quality - 1].expand(len(x))
        with torch.no_grad():
            latent = coder.latent(x, level)
            bits, error = coder.rounded(x, latent, level)
        row |= _figures(f"@{quality}", bits, error, x)
        lmbda = coder.codec.config.lmbda(level)
        if passes:
            _, bits, error = search(coder, x, torch.floor(latent + 0.5), level, lmbda, passes)
            row |= _figures(f"@{quality}+", bits, error, x)
        total += ((bits + lmbda * error) * lmbda**-BALANCE).mean().item()
    return row | {"held_out": total / len(PROBES)}


def _figures(suffix: str, bits: Tensor, error: Tensor, x: Tensor) -> dict[str, float]:
    """Mean ideal bytes and PSNR; the suffix is added to their names."""
    mse = error.double().mean().item() * WHITE**2 / x[0].numel()
    return {f"bytes{suffix}": bits.double().mean().item() / 8, f"dB{suffix}": psnr_of_mse(mse)}


def cost_of_integers(coder: Coder, x: Tensor, levels: Tensor) -> list[dict[str, float]]:
    """Ideal bytes and PSNR with the same weights as integers and in float, at the qualities of :data:`PROBES`.

    Args:
        coder: the model.
        x: images in 0..1, (N, 1, 28, 28).
        levels: level of each quality, (100,).
    """
    rows = []
    with torch.no_grad():
        for quality in PROBES:
            row: dict[str, float] = {"quality": quality}
            for name, switch in (("float", dequantize), ("integer", quantize)):
                switch(coder)
                parts = [coder(part, levels[quality - 1].expand(len(part))) for part in torch.split(x, 500)]
                bits, error = (torch.cat(values) for values in zip(*parts, strict=True))
                figures = _figures("", bits, error, x)
                row |= {f"{name}_bytes": round(figures["bytes"], 4), f"{name}_psnr_db": round(figures["dB"], 4)}
            rows.append(row)
    return rows
