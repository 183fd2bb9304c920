"""Training stages of the pixel model. The loss is its mean code length per image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mnistzip.metrics import PEAK as WHITE
from mnistzip.models.pixel.planes import Plane
from mnistzip.training.splits import Split
from mnistzip.training.torch_layers import dequantize, quantize
from mnistzip.training.torch_pixel_model import PixelModel
from mnistzip.training.trainer import Run, Schedule, StageTrainer

PROBE_IMAGES = 512  # held-out images for the log
PROBE_BATCH = 64
LOSS_SCALE = 0.1  # loss per byte


@dataclass(frozen=True)
class PixelStage:
    """One training stage; ``quantized`` runs on integers."""

    name: str
    schedule: Schedule
    quantized: bool = False


def train_pixel_stage(model: PixelModel, split: Split, stage: PixelStage, run: Run) -> StageTrainer:
    """Train one stage, or continue it from its checkpoint."""
    switch = quantize if stage.quantized else dequantize
    matrices = model.matrices()
    trainer = StageTrainer(stage.name, run, model, stage.schedule, prepare=lambda: switch(model), matrices=matrices)
    probe = split.held_out[:PROBE_IMAGES, 0]

    def loss(x: Tensor) -> Tensor:
        return model.bits(as_bytes(x)).sum() / (8 * len(x)) * LOSS_SCALE

    def measure_probe() -> dict[str, float]:
        sizes = measure(model, probe)
        return sizes | {"held_out": sizes["bytes"]}

    trainer.train(split.train, loss, measure_probe)
    model.eval()
    switch(model)
    return trainer


def as_bytes(x: Tensor) -> Tensor:
    """Convert images in 0..1, (N, 1, 28, 28), to uint8, (N, 28, 28)."""
    return torch.round(x[:, 0] * WHITE).to(torch.uint8)


@torch.no_grad()
def measure(model: PixelModel, x: Tensor) -> dict[str, float]:
    """Mean ideal bytes of images, uint8 (N, 28, 28): of each plane, of pixels without ink in their window, and the sum."""
    sizes = torch.cat([model.bits(part) for part in torch.split(x, PROBE_BATCH)], 1).double().mean(1) / 8
    names = [plane.name.lower() for plane in Plane] + ["blank"]
    return dict(zip(names, sizes.tolist(), strict=True)) | {"bytes": sizes.sum().item()}
