"""Search for better latents while training, by the gradient of their cost.

The latents of the analysis cost 20 to 30% more than those of a search. Prior and synthesis are trained on the latents of a
search to suit an encoder with high effort, and the analysis is pulled towards them. Each pass moves many symbols by one: those
with the greatest predicted gain, from the gradient, the exact change of their own code length, and the curvature. If the cost
of an image does not fall, its moves are undone and the next pass moves fewer. :mod:`mnistzip.coding.rdo` does the same on
integers.

Sources: Campos et al. 2019, arXiv 1906.01223 (content-adaptive refinement); Kim et al. 2018, arXiv 1802.02550
(semi-amortized inference).
"""

from __future__ import annotations

import torch
from torch import Tensor

from mnistzip.models.latent_prior import SYMBOLS
from mnistzip.training.rd_model import BITS, Coder

FIRST_MOVES = 8  # symbols moved at once in the first pass
MOVES_MAX = 40
FORBIDDEN = 1e9  # cost of a move that must not be made


def search(
    coder: Coder, x: Tensor, symbols: Tensor, level: Tensor, lmbda: Tensor, passes: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Search symbols of lower cost; the weights get no gradients.

    Args:
        coder: the model.
        x: images in 0..1, (N, 1, 28, 28).
        symbols: the start, (N, 196).
        level: quality levels in 0..1, (N,).
        lmbda: weights of the squared error, (N,).
        passes: number of passes.

    Returns:
        Symbols (N, 196), bits (N,) and squared error (N,).
    """
    learned = [p for p in coder.parameters() if p.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    symbols = symbols.detach()
    moves = torch.full((len(x), 1), FIRST_MOVES)
    tried = torch.zeros(symbols.shape, dtype=torch.bool)  # symbols that were moved alone without success
    curvature = 0.5 * lmbda[:, None] * coder.curvature(level)
    bits, error, gradient, likelihood = _evaluate(coder, x, symbols, level, lmbda)
    for _ in range(passes):
        own = BITS * coder.pick(likelihood, symbols)
        up = (own - BITS * coder.pick(likelihood, symbols + 1) + gradient).masked_fill(symbols >= coder.largest, FORBIDDEN)
        down = (own - BITS * coder.pick(likelihood, symbols - 1) - gradient).masked_fill(symbols <= -coder.largest, FORBIDDEN)
        change = (torch.minimum(up, down) + curvature).masked_fill(tried, FORBIDDEN)
        order = change.argsort(1)
        rank = torch.empty_like(order).scatter_(1, order, torch.arange(SYMBOLS).expand_as(order))
        moved = (rank < moves) & (change < 0)
        trial = torch.where(moved, symbols + torch.where(up < down, 1.0, -1.0), symbols)
        result = _evaluate(coder, x, trial, level, lmbda)
        better = result[0] + lmbda * result[1] < bits + lmbda * error
        tried |= moved & ~better[:, None] & (moves == 1)
        symbols = torch.where(better[:, None], trial, symbols)
        bits, error = torch.where(better, result[0], bits), torch.where(better, result[1], error)
        gradient = torch.where(better[:, None], result[2], gradient)
        likelihood = torch.where(better[:, None, None], result[3], likelihood)
        increased = (moves * 3 // 2).clamp(max=MOVES_MAX)
        moves = torch.where(better[:, None], increased.clamp(min=2), (moves // 2).clamp(min=1))
    for parameter in learned:
        parameter.requires_grad_(True)
    return symbols, bits, error


def _evaluate(coder: Coder, x: Tensor, symbols: Tensor, level: Tensor, lmbda: Tensor) -> tuple[Tensor, ...]:
    """Bits, squared error, the gradient of the cost through the later symbols and the image, and the log-likelihood."""
    with torch.enable_grad():
        variable = symbols.clone().requires_grad_()
        bits, error, likelihood = coder.cost(x, variable, level)
        (gradient,) = torch.autograd.grad((bits + lmbda * error).sum(), variable)
    return bits.detach(), error.detach(), gradient, likelihood.detach()
