"""Muon: an optimizer that steps along the orthogonalized momentum of weight matrices.

Adam scales each weight separately, so a few strong directions of a matrix dominate its step. Muon replaces the momentum of a
matrix by the nearest matrix whose singular values are all about 1, so that all directions learn. A convolution counts as a
matrix of shape (outputs, inputs * kernel * kernel). The codec needs far fewer steps with it than with Adam.

Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon (method and the coefficients of the iteration).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
ITERATIONS = 5
CUBIC = (3.4445, -4.7750, 2.0315)  # coefficients of an odd polynomial that moves singular values in 0..1 close to 1


class Muon(torch.optim.Optimizer):
    """Optimizer of weights with two or more dimensions. Biases and tables need another optimizer."""

    def __init__(self, weights: Iterable[nn.Parameter], lr: float, weight_decay: float = 0.02) -> None:
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            rate = group["lr"]
            for weights in _alike(group["params"]):
                ahead = torch.stack([self._ahead(weight) for weight in weights])
                scale = max(1.0, ahead.shape[1] / ahead.shape[2]) ** 0.5
                for weight, change in zip(weights, orthogonal(ahead), strict=True):
                    weight.mul_(1 - rate * group["weight_decay"])
                    weight.add_(change.view_as(weight), alpha=-rate * scale)

    def _ahead(self, weight: Tensor) -> Tensor:
        """The gradient with Nesterov momentum, as a matrix."""
        assert weight.grad is not None
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        state["momentum"].lerp_(weight.grad, 1 - MOMENTUM)
        return weight.grad.lerp(state["momentum"], MOMENTUM).flatten(1)


def _alike(weights: Iterable[Tensor]) -> list[list[Tensor]]:
    """The weights that have gradients, those of one shape together: many small products take longer than one."""
    groups: dict[torch.Size, list[Tensor]] = {}
    for weight in weights:
        if weight.grad is not None:
            groups.setdefault(weight.flatten(1).shape, []).append(weight)
    return list(groups.values())


def orthogonal(matrices: Tensor) -> Tensor:
    """Approximate the nearest matrices with orthonormal rows or columns, (..., rows, columns), in bfloat16.

    The method is that of Newton and Schulz.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = (x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)).bfloat16()
    a, b, c = CUBIC
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if tall else x).to(matrices.dtype)
