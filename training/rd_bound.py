"""Upper bound on the rate-distortion function of digits, from a beta-VAE.

Many latents drawn from ``q(z|x)`` can be sent in ``log2 q(z|x) / p(z)`` bits each on average if sender and receiver share
random bits. Rate and squared error of a trained VAE are therefore a point that some codec reaches. The VAE does not round,
write whole bytes or run on integers. The gap between this curve and that of the codec shows the cost of these and the gain
that larger networks allow. As in the codec, the networks depend on the level, and the prior is autoregressive.

    x (N, 784) -> encode -> mean, log_spread (N, 48) -> z (N, 48) -> decode -> x_hat (N, 784)

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
MIXTURE = 6  # normal distributions in the prior of each latent
UNITS = 24  # hidden units of the prior for each latent; they depend on the earlier latents
LEVEL_WAVES = 8
BALANCE = 0.45
BATCH = 500
RATE = 1e-3
LEVELS = [step / 12 for step in range(13)]


class Tower(nn.Module):
    """Residual network with the level as a second input: (N, inputs), (N,) -> (N, outputs)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs, WIDTH)
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(BLOCKS))
        self.from_level = nn.ModuleList(nn.Linear(2 * LEVEL_WAVES, WIDTH) for _ in range(BLOCKS))
        self.widen = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(BLOCKS))
        self.leave = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(BLOCKS))
        self.last = nn.Linear(WIDTH, outputs)
        nn.init.normal_(self.last.weight, std=0.01)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        level_waves = waves(level)
        h = self.enter(x)
        for norm, from_level, widen, leave in zip(self.norms, self.from_level, self.widen, self.leave, strict=True):
            h = h + leave(F.silu(widen(norm(h)) + from_level(level_waves)))
        out: Tensor = self.last(F.silu(h))
        return out


class Prior(nn.Module):
    """Density of each latent given the earlier latents and the level: a mixture of normal distributions."""

    def __init__(self) -> None:
        super().__init__()
        latent = torch.arange(LATENTS).repeat_interleave(UNITS)
        self.register_buffer("mask", (torch.arange(LATENTS)[:, None] < latent).float(), persistent=False)
        self.mask: Tensor
        self.hidden_weight = nn.Parameter(torch.randn(LATENTS, LATENTS * UNITS) * 0.1)
        self.from_level = nn.Linear(2 * LEVEL_WAVES, LATENTS * UNITS)
        self.output_weight = nn.Parameter(torch.randn(LATENTS, UNITS, 3 * MIXTURE) * 0.05)
        self.bias = nn.Parameter(torch.randn(LATENTS, 3 * MIXTURE) * 0.3)

    def forward(self, z: Tensor, level: Tensor) -> Tensor:
        """Log densities of latents: (N, LATENTS), (N,) -> (N,)."""
        h = F.silu(z @ (self.hidden_weight * self.mask) + self.from_level(waves(level)))
        output = torch.einsum("nls,lso->nlo", h.view(len(z), LATENTS, UNITS), self.output_weight) + self.bias
        weight, mean, spread = output.chunk(3, 2)
        density = normal(z[:, :, None], mean, spread)
        return (weight.log_softmax(2) + density).logsumexp(2).sum(1)


def waves(level: Tensor) -> Tensor:
    """Cosines and sines of levels at several frequencies: (N,) -> (N, 2 * LEVEL_WAVES)."""
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
        """Bits and squared error of images in 0..1, from one draw of their latents: (N, 784), (N,) -> (N,), (N,)."""
        mean, log_spread = self.encode(x - 0.13, level).chunk(2, 1)
        log_spread = log_spread.clamp(-8, 4)
        z = mean + log_spread.exp() * torch.randn_like(mean)
        nats = normal(z, mean, log_spread).sum(1) - self.prior(z, level)
        x_hat = self.decode(z, level)
        inside = x_hat.clamp(0, 1)
        clipped = inside + 0.02 * (x_hat - inside) if self.training else inside
        return nats / math.log(2), (clipped - x).square().sum(1)


@click.command()
@click.argument("data")
@click.option("--epochs", default=60, show_default=True)
@click.option("--seed", default=0, show_default=True)
@FlushDenormals()
def main(data: str, epochs: int, seed: int) -> None:
    """Train the VAE and print, for held-out images, the rate and PSNR of levels from low to high as JSON."""
    torch.manual_seed(seed)
    split = load(data)
    train, held_out = (part.flatten(1).float() / WHITE for part in (split.train, split.held_out))
    vae, codec_config = Vae(), Config()
    optimizer = torch.optim.AdamW(vae.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, epochs * (len(train) // BATCH), pct_start=0.05)
    start = time.monotonic()
    for epoch in range(epochs):
        total = 0.0
        for part in torch.randperm(len(train))[: len(train) // BATCH * BATCH].view(-1, BATCH):
            level = torch.rand(BATCH)
            lmbda = codec_config.lmbda(level)
            bits, error = vae(train[part], level)
            loss = ((bits + lmbda * error) * lmbda**-BALANCE).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(vae.parameters(), 20.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        click.echo(f"epoch {epoch + 1}: {time.monotonic() - start:.0f} s, loss {total * BATCH / len(train):.3f}", err=True)
    vae.eval()
    for value in LEVELS:
        with torch.no_grad():
            bits, error = vae(held_out, torch.full((len(held_out),), value))
        result = {"bytes": bits.mean().item() / 8, "psnr_db": psnr_of_mse(error.mean().item() * WHITE**2 / 784)}
        click.echo(json.dumps({name: round(number, 3) for name, number in result.items()}))


if __name__ == "__main__":
    main()
