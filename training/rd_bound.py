"""An upper bound on the rate-distortion function of digits, by a beta-VAE.

    x (N, 784) -> encoder -> q(z|x) -> z (N, 48) -> decoder -> x_hat (N, 784) -> squared error (N,)
                                z -> autoregressive prior p(z) -> log q(z|x) / p(z) (N,)

With shared random bits and many images at once, a sample of ``q(z|x)`` can be sent in ``log q(z|x) / p(z)`` bits on average.
Thus some codec reaches the rate and squared error of a trained VAE. The VAE has no rounding, no whole bytes and no integer
networks: the distance of mnistzip from this curve is the cost of these, or the possible gain from better networks. Like the
codec, the VAE is conditioned on the level.

    python -m mnistzip.training.rd_bound train-images-idx3-ubyte.gz

Source: Yang & Mandt 2022, arXiv 2111.12166.
"""

from __future__ import annotations

import json
import math
import time

import click
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnistzip.metrics import PEAK as WHITE, psnr_of_mse
from mnistzip.training.splits import load
from mnistzip.training.torch_codec import Config
from mnistzip.training.trainer import FlushDenormals

LATENTS = 48
WIDTH = 768
BLOCKS = 2
MIXTURE = 6  # normal distributions in the mixture of each latent
UNITS = 24  # hidden units of the prior for each latent
LEVEL_WAVES = 8
BALANCE = 0.45  # losses are divided by lmbda to this power
BATCH = 500
RATE = 1e-3
LEVELS = [step / 12 for step in range(13)]


class Tower(nn.Module):
    """Residual network, conditioned on the level: (N, inputs), (N,) -> (N, outputs)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs, WIDTH)
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(BLOCKS))
        self.condition = nn.ModuleList(nn.Linear(2 * LEVEL_WAVES, WIDTH) for _ in range(BLOCKS))
        self.widen = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(BLOCKS))
        self.leave = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(BLOCKS))
        self.last = nn.Linear(WIDTH, outputs)
        nn.init.normal_(self.last.weight, std=0.01)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """The outputs: (N, outputs)."""
        condition = waves(level)
        h = self.enter(x)
        for norm, layer, widen, leave in zip(self.norms, self.condition, self.widen, self.leave, strict=True):
            h = h + leave(F.silu(widen(norm(h)) + layer(condition)))
        out: Tensor = self.last(F.silu(h))
        return out


class Prior(nn.Module):
    """Density of each latent, conditioned on the earlier latents and the level: a mixture of normal distributions."""

    def __init__(self) -> None:
        super().__init__()
        position = torch.arange(LATENTS).repeat_interleave(UNITS)
        self.register_buffer("mask", (torch.arange(LATENTS)[:, None] < position).float(), persistent=False)
        self.mask: Tensor
        self.hidden = nn.Parameter(torch.randn(LATENTS, LATENTS * UNITS) * 0.1)
        self.condition = nn.Linear(2 * LEVEL_WAVES, LATENTS * UNITS)
        self.output = nn.Parameter(torch.randn(LATENTS, UNITS, 3 * MIXTURE) * 0.05)
        self.bias = nn.Parameter(torch.randn(LATENTS, 3 * MIXTURE) * 0.3)

    def forward(self, z: Tensor, level: Tensor) -> Tensor:
        """Log density of latents: (N, LATENTS), (N,) -> (N,)."""
        hidden = F.silu(z @ (self.hidden * self.mask) + self.condition(waves(level)))
        mixture = torch.einsum("nls,lso->nlo", hidden.view(len(z), LATENTS, UNITS), self.output) + self.bias
        weight, mean, spread = mixture.chunk(3, 2)
        log_density = normal(z[:, :, None], mean, spread)
        return (weight.log_softmax(2) + log_density).logsumexp(2).sum(1)


def waves(level: Tensor) -> Tensor:
    """Cosines and sines of levels, as inputs of networks: (N,) -> (N, 2 * LEVEL_WAVES)."""
    phase = level[:, None] * math.pi * torch.arange(1, LEVEL_WAVES + 1)
    return torch.cat([phase.cos(), phase.sin()], 1)


def normal(z: Tensor, mean: Tensor, log_spread: Tensor) -> Tensor:
    """Log densities of normal distributions."""
    return -0.5 * ((z - mean) * torch.exp(-log_spread)).square() - log_spread - 0.5 * math.log(2 * math.pi)


class Vae(nn.Module):
    """Encoder, decoder and prior."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = Tower(784, 2 * LATENTS)
        self.decode = Tower(LATENTS, 784)
        self.prior = Prior()

    def forward(self, x: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """Bits and squared error of images in 0..1, for one sample of the latents: (N, 784), (N,) -> (N,), (N,)."""
        mean, log_spread = self.encode(x - 0.13, level).chunk(2, 1)
        log_spread = log_spread.clamp(-8, 4)
        z = mean + log_spread.exp() * torch.randn_like(mean)
        nats = normal(z, mean, log_spread).sum(1) - self.prior(z, level)
        x_hat = self.decode(z, level)
        inside = x_hat.clamp(0, 1)
        if self.training:  # values outside 0..1 keep a small gradient
            inside = inside + 0.02 * (x_hat - inside)
        return nats / math.log(2), (inside - x).square().sum(1)


@click.command()
@click.argument("data")
@click.option("--epochs", default=60, show_default=True)
@click.option("--seed", default=0, show_default=True)
@FlushDenormals()
def main(data: str, epochs: int, seed: int) -> None:
    """Train the VAE, and print rate and PSNR of held-out images at levels from low to high, as JSON."""
    torch.manual_seed(seed)
    split = load(data)
    train, held_out = (part.flatten(1).float() / WHITE for part in (split.train, split.held_out))
    vae, config = Vae(), Config()
    optimizer = torch.optim.AdamW(vae.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, epochs * (len(train) // BATCH), pct_start=0.05)
    began = time.monotonic()
    for epoch in range(epochs):
        total = 0.0
        for part in torch.randperm(len(train))[: len(train) // BATCH * BATCH].view(-1, BATCH):
            level = torch.rand(BATCH)
            lmbda = config.lmbda(level)
            bits, error = vae(train[part], level)
            loss = ((bits + lmbda * error) * lmbda**-BALANCE).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(vae.parameters(), 20.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        click.echo(f"epoch {epoch + 1}: {time.monotonic() - began:.0f} s, loss {total * BATCH / len(train):.3f}", err=True)
    vae.eval()
    for value in LEVELS:
        with torch.no_grad():
            bits, error = vae(held_out, torch.full((len(held_out),), value))
        point = {"bytes": bits.mean().item() / 8, "psnr_db": psnr_of_mse(error.mean().item() * WHITE**2 / 784)}
        click.echo(json.dumps({name: round(figure, 3) for name, figure in point.items()}))


if __name__ == "__main__":
    main()
