# SPDX-License-Identifier: Apache-2.0
"""GPTQ: round a layer's weights column by column; later columns make up for each error.

Source: Frantar et al., GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
Transformers, ICLR 2023, sections 3.2 and 3.3 (blocked updates, Cholesky factor of the inverse);
the order by input energy is the authors' later addition.
"""

import torch

from quant.ptq.recipes.grid import Grid
from quant.ptq.recipes.statistics import damped


def gptq(
    wanted: torch.Tensor,
    hessian: torch.Tensor,
    grid: Grid,
    *,
    damping: float,
    act_order: bool,
    block: int,
) -> torch.Tensor:
    """Return the codes.

    Args:
        wanted: float64 [g, f, K], the real weights of least error.
        hessian: float64 [g, K, K], second moments of the inputs.
        grid: What each weight may become.
        damping: Added to the diagonal, as a share of its mean.
        act_order: Whether columns of large input energy come first; else in order.
        block: Columns whose errors reach the later columns at once.

    Returns:
        int64 [g, f, K].
    """
    groups, filters, width = wanted.shape
    diagonal = hessian.diagonal(dim1=1, dim2=2)
    if act_order:
        order = torch.argsort(diagonal, dim=1, descending=True, stable=True)
    else:
        order = torch.arange(width, device=wanted.device).expand(groups, width)
    rows = order[:, None, :].expand(-1, filters, -1)
    left = wanted.gather(2, rows)
    factor = _inverse_factor(damped(_permuted(hessian, order), damping))
    codes = torch.empty((groups, filters, width), dtype=torch.int64, device=wanted.device)
    for begin in range(0, width, block):
        end = min(begin + block, width)
        errors = torch.zeros(
            (groups, filters, end - begin), dtype=wanted.dtype, device=wanted.device
        )
        for place in range(begin, end):
            found, level = grid.column(order[:, place]).nearest(left[:, :, place])
            codes[:, :, place] = found
            error = (left[:, :, place] - level) / factor[:, place, place, None]
            inside = factor[:, place, None, place:end]
            left[:, :, place:end] -= error[:, :, None] * inside
            errors[:, :, place - begin] = error
        left[:, :, end:] -= errors @ factor[:, begin:end, end:]
    return torch.empty_like(codes).scatter_(2, rows, codes)


def _permuted(hessian: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    width = hessian.shape[1]
    by_row = hessian.gather(1, order[:, :, None].expand(-1, -1, width))
    return by_row.gather(2, order[:, None, :].expand(-1, width, -1))


def _inverse_factor(hessian: torch.Tensor) -> torch.Tensor:
    """Return the upper triangular U with ``inverse(hessian) = U.T @ U``."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    factor: torch.Tensor = torch.linalg.cholesky(inverse, upper=True)
    return factor
