"""Muon: steps along the orthogonalized momentum of weight matrices.

Adam scales each weight separately, so a few strong directions of a matrix dominate its step. Muon replaces the momentum of a
matrix by the nearest matrix whose singular values are all about 1, so that every direction learns. A convolution counts as the
matrix from its inputs at one position to its outputs. The codec needs far fewer steps with Muon than with Adam.

Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon (method and the coefficients of the iteration).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
ITERATIONS = 5
CUBIC = (3.4445, -4.7750, 2.0315)  # the odd polynomial that moves singular values in 0..1 close to 1


class Muon(torch.optim.Optimizer):
    """An optimizer for weights of two or more dimensions; use another one for biases and tables."""

    def __init__(self, weights: Iterable[nn.Parameter], lr: float, weight_decay: float = 0.02) -> None:
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step with the current gradients."""
        for group in self.param_groups:
            rate = group["lr"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1 - MOMENTUM)
                nesterov = weight.grad.lerp(state["momentum"], MOMENTUM)
                matrix = nesterov.flatten(1)
                scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
                weight.mul_(1 - rate * group["weight_decay"])
                weight.add_(orthogonal(matrix).view_as(weight), alpha=-rate * scale)


def orthogonal(matrix: Tensor) -> Tensor:
    """Approximately the nearest matrix with orthonormal rows or columns, by Newton-Schulz iteration in bfloat16."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = (x / (x.norm() + 1e-7)).bfloat16()
    a, b, c = CUBIC
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if tall else x).to(matrix.dtype)
