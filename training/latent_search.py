"""Gradient-based search for better latents during training.

The cost of the latents that the analysis predicts is 20 to 30% above that of searched latents. Prior and synthesis train on
searched latents so that they suit an encoder that searches, and the analysis learns to predict them. Each pass changes the
symbols of an image with the largest predicted gain by one, all together. The prediction consists of the exact change of the
symbol's own code length, the gradient of the other terms and the curvature. If the cost of the image does not fall, the pass is
undone and the next pass changes fewer symbols. :mod:`mnistzip.engines.reference.rdo` is the corresponding search on integers.

Sources: Campos et al. 2019, arXiv 1906.01223 (content-adaptive refinement); Kim et al. 2018, arXiv 1802.02550
(semi-amortized inference).
"""

from __future__ import annotations

import torch
from torch import Tensor

from mnistzip.models.latent_prior import SYMBOLS
from mnistzip.training.rd_model import BITS, Coder

FIRST_MOVES = 8  # symbols that the first pass changes
MAX_MOVES = 40
EXCLUDED = 1e9  # predicted change of the cost of moves that are not allowed


def search(
    coder: Coder, x: Tensor, symbols: Tensor, level: Tensor, lmbda: Tensor, passes: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Search symbols of lower cost; weights get no gradient.

    Args:
        coder: returns costs.
        x: images in 0..1, shape ``(N, 1, 28, 28)``.
        symbols: at the start, shape ``(N, 196)``.
        level: shape ``(N,)``.
        lmbda: weight of the squared error, shape ``(N,)``.
        passes: of the search.

    Returns:
        Symbols ``(N, 196)``, bits ``(N,)`` and squared error ``(N,)``.
    """
    trained = [p for p in coder.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    symbols = symbols.detach()
    moves = torch.full((len(x), 1), FIRST_MOVES)
    tried = torch.zeros(symbols.shape, dtype=torch.bool)  # changed alone without success
    curvature = 0.5 * lmbda[:, None] * coder.curvature(level)
    bits, error, gradient, likelihood = _evaluate(coder, x, symbols, level, lmbda)
    for _ in range(passes):
        bits_now = BITS * coder.pick(likelihood, symbols)
        up = (bits_now - BITS * coder.pick(likelihood, symbols + 1) + gradient).masked_fill(
            symbols >= coder.symbol_max, EXCLUDED
        )
        down = (bits_now - BITS * coder.pick(likelihood, symbols - 1) - gradient).masked_fill(
            symbols <= -coder.symbol_max, EXCLUDED
        )
        change = (torch.minimum(up, down) + curvature).masked_fill(tried, EXCLUDED)
        order = change.argsort(1)
        rank = torch.empty_like(order).scatter_(1, order, torch.arange(SYMBOLS).expand_as(order))
        moved = (rank < moves) & (change < 0)
        trial = torch.where(moved, symbols + torch.where(up < down, 1.0, -1.0), symbols)
        new_bits, new_error, new_gradient, new_likelihood = _evaluate(coder, x, trial, level, lmbda)
        better = new_bits + lmbda * new_error < bits + lmbda * error
        tried |= moved & ~better[:, None] & (moves == 1)
        symbols = torch.where(better[:, None], trial, symbols)
        bits, error = torch.where(better, new_bits, bits), torch.where(better, new_error, error)
        gradient = torch.where(better[:, None], new_gradient, gradient)
        likelihood = torch.where(better[:, None, None], new_likelihood, likelihood)
        more = (moves * 3 // 2).clamp(max=MAX_MOVES)
        moves = torch.where(better[:, None], more.clamp(min=2), (moves // 2).clamp(min=1))
    for parameter in trained:
        parameter.requires_grad_(True)
    return symbols, bits, error


def _evaluate(coder: Coder, x: Tensor, symbols: Tensor, level: Tensor, lmbda: Tensor) -> tuple[Tensor, ...]:
    """Bits, squared error, the gradient of the cost through later symbols and the image, and the log-likelihood."""
    with torch.enable_grad():
        symbols = symbols.clone().requires_grad_()
        bits, error, likelihood = coder.cost(x, symbols, level)
        (gradient,) = torch.autograd.grad((bits + lmbda * error).sum(), symbols)
    return bits.detach(), error.detach(), gradient, likelihood.detach()
