"""Train the lossy part of the model ``grey``, or its pixel model, in floats.

    python -m mnistzip.training.grey_trainer pictures.npz --minutes 80 --out runs/grey.pt
    python -m mnistzip.training.grey_trainer pictures.npz --part pixels --minutes 60 --out runs/grey-pixels.pt

:mod:`mnistzip.training.grey_recipe` makes a model file of the checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor, nn

from mnistzip.errors import OptionError
from mnistzip.limits import ERROR_MAX
from mnistzip.training.picture_trainer import PictureTrainer, read_pictures
from mnistzip.training.torch_grey import Grey
from mnistzip.training.torch_grey_pixels import GreyPixels, nearest_levels
from mnistzip.training.trainer import FlushDenormals

BALANCE = 0.42  # power of lmbda that divides losses
EDGE = 0.05  # levels are drawn from -EDGE to 1 + EDGE and clipped

EXACT = 0.6  # share of pictures that the pixel model sees without a largest error
ENLARGED = 0.08  # share of steps with pictures whose pixels are doubled, as in enlarged icons and screenshots
FLATTENED, OFFSET = 0.5, 0.3  # a picture of b bits a pixel counts as b / (b + OFFSET) ** FLATTENED


class GreyTrainer(PictureTrainer[Grey]):
    """Bits and squared error of pictures of random qualities."""

    stage, batch_pixels = "rounded", 49_152
    rate, matrix_rate = 6e-3, 0.015

    def matrices(self) -> list[nn.Parameter]:
        return [part for name, part in self.model.named_parameters() if part.ndim >= 2 and not _is_small(name)]

    def loss(self, x: Tensor) -> Tensor:
        level = torch.from_numpy(self.chance.uniform(-EDGE, 1 + EDGE, len(x))).float().clamp(0, 1)
        lmbda = self.model.lmbda(level)
        bits, error = self.model(x.float()[:, None] / 255, level, torch.bfloat16)
        return ((bits + lmbda * error) * lmbda**-BALANCE).mean() / x[0].numel()


class GreyPixelsTrainer(PictureTrainer[GreyPixels]):
    """Bits of pictures with random largest errors."""

    stage, batch_pixels = "pixels", 32_768
    rate, matrix_rate = 4e-3, 0.015

    def matrices(self) -> list[nn.Parameter]:
        return self.model.matrices()

    def loss(self, x: Tensor) -> Tensor:
        drawn = np.exp(self.chance.uniform(0, np.log(ERROR_MAX + 1), len(x))).astype(np.int64)
        exact = self.chance.random(len(x)) < EXACT
        max_error = torch.from_numpy(np.where(exact, 0, np.clip(drawn, 1, ERROR_MAX)))
        if self.chance.random() < ENLARGED:
            x = _doubled(x)
        left = nearest_levels()[max_error[:, None, None], x.long()]
        bits = self.model(left, max_error).mean((1, 2))
        return (bits / (bits.detach() + OFFSET) ** FLATTENED).mean()


def _doubled(x: Tensor) -> Tensor:
    """The upper left quarter of pictures, each of its pixels four times."""
    height, width = x.shape[1:]
    quarter = x[:, : -(-height // 2), : -(-width // 2)]
    return quarter.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, :height, :width]


def _is_small(name: str) -> bool:
    """Whether a parameter is no matrix of a network: a table by level, or a small linear prediction."""
    return name.endswith("rows") or "around" in name or "prior.linear" in name or "within" in name


FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("pictures", nargs=-1, required=True, type=FILE)
@click.option("--part", default="lossy", type=click.Choice(["lossy", "pixels"]), show_default=True, help="What to train.")
@click.option("--minutes", default=80.0, show_default=True, help="Time of the whole run.")
@click.option("--out", required=True, type=FILE, help="Checkpoint; an existing one is continued, also beyond its time.")
@click.option("--seed", default=1, show_default=True)
@FlushDenormals()
def main(pictures: Sequence[Path], part: str, minutes: float, out: Path, seed: int) -> None:
    """Train a part of the model grey in floats."""
    torch.manual_seed(seed)
    trainer: PictureTrainer[Grey] | PictureTrainer[GreyPixels]
    if part == "lossy":
        trainer = GreyTrainer(Grey().train(), minutes, seed)
    else:
        trainer = GreyPixelsTrainer(GreyPixels().train(), minutes, seed)
    if out.exists():
        try:
            trainer.load(out)
        except OptionError as error:
            raise click.ClickException(str(error)) from error
        trainer.progress.seconds = 60 * minutes
    trainer.run(read_pictures(pictures), out, click.echo)


if __name__ == "__main__":
    main()
