"""Search for better latents while training, by the gradient of their cost.

The analysis guesses a latent in one go and is 20 to 30% off. Prior and synthesis that have seen what an encoder with time
finds make better use of it, and the analysis is drawn towards it. Each pass moves the symbols by one for which the gradient,
the exact change of their own code length and the curvature promise most, all at once; where that does not lower an
image's cost it is undone and fewer are moved in the next pass. :mod:`mnistzip.coding.rdo` does the same on integers.

Sources: Campos et al. 2019, arXiv 1906.01223 (content-adaptive refinement); Kim et al. 2018, arXiv 1802.02550
(semi-amortized inference).
"""

from __future__ import annotations

import torch
from torch import Tensor

from mnistzip.models.latent_prior import SYMBOLS
from mnistzip.training.rd_model import BITS, Coder

FIRST_MOVES = 8  # symbols moved at once in the first pass
MOST_MOVES = 40
NEVER = 1e9


def search(
    coder: Coder, x: Tensor, symbols: Tensor, level: Tensor, lmbda: Tensor, passes: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Better symbols for images, their bits and squared error: (N, 196), (N,), (N,); no gradient reaches the weights."""
    learned = [p for p in coder.parameters() if p.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    symbols = symbols.detach()
    moves = torch.full((len(x), 1), FIRST_MOVES)
    tried = torch.zeros(symbols.shape, dtype=torch.bool)  # moved alone, in vain
    curvature = 0.5 * lmbda[:, None] * coder.curvature(level)
    bits, error, gradient, likelihood = _evaluate(coder, x, symbols, level, lmbda)
    for _ in range(passes):
        own = BITS * coder.pick(likelihood, symbols)
        up = (own - BITS * coder.pick(likelihood, symbols + 1) + gradient).masked_fill(symbols >= coder.largest, NEVER)
        down = (own - BITS * coder.pick(likelihood, symbols - 1) - gradient).masked_fill(symbols <= -coder.largest, NEVER)
        change = (torch.minimum(up, down) + curvature).masked_fill(tried, NEVER)
        order = change.argsort(1)
        rank = torch.empty_like(order).scatter_(1, order, torch.arange(SYMBOLS).expand_as(order))
        moved = (rank < moves) & (change < 0)
        trial = torch.where(moved, symbols + torch.where(up < down, 1.0, -1.0), symbols)
        found = _evaluate(coder, x, trial, level, lmbda)
        better = found[0] + lmbda * found[1] < bits + lmbda * error
        tried |= moved & ~better[:, None] & (moves == 1)
        symbols = torch.where(better[:, None], trial, symbols)
        bits, error = torch.where(better, found[0], bits), torch.where(better, found[1], error)
        gradient = torch.where(better[:, None], found[2], gradient)
        likelihood = torch.where(better[:, None, None], found[3], likelihood)
        more = (moves * 3 // 2).clamp(max=MOST_MOVES)
        moves = torch.where(better[:, None], more.clamp(min=2), (moves // 2).clamp(min=1))
    for parameter in learned:
        parameter.requires_grad_(True)
    return symbols, bits, error


def _evaluate(coder: Coder, x: Tensor, symbols: Tensor, level: Tensor, lmbda: Tensor) -> tuple[Tensor, ...]:
    """Bits, squared error, the gradient of their sum by way of later symbols and of the image, and the log-likelihood."""
    with torch.enable_grad():
        given = symbols.clone().requires_grad_()
        bits, error, likelihood = coder.cost(x, given, level)
        (gradient,) = torch.autograd.grad((bits + lmbda * error).sum(), given)
    return bits.detach(), error.detach(), gradient, likelihood.detach()
