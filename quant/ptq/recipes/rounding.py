# SPDX-License-Identifier: Apache-2.0
"""Real tensors rounded to their formats, with gradients: those of calibration's own network.

Rounding passes gradients straight through inside the format's range and none outside; the logarithm
of the scale gets the gradient of a learned step.

Source: Esser et al., Learned Step Size Quantization, ICLR 2020, section 2.1.
"""

import math
from typing import Any

import torch

from quant.formats import TensorFormat
from quant.ptq.codes import decode, encode

# Integers below this are exact in bfloat16.
SHORT_CODES = 256


class _Round(torch.autograd.Function):
    """``scale * (nearest code - zero)``; saves input and output only."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, stretch: torch.Tensor, fmt: TensorFormat) -> Any:  # noqa: ANN401 - torch's own signature
        scale = fmt.scale * math.exp(float(stretch))
        zero = fmt.zero_point
        first, last = _ends(fmt)
        if fmt.codebook is None:
            # In place, in steps of the format: one new tensor, and vector loops throughout.
            y = x * (1.0 / scale)
            y.round_().clamp_(first - zero, last - zero).mul_(scale)
        else:
            y = _through_codebook(x, scale, zero, fmt.codebook)
        ctx.low, ctx.high = scale * (first - zero), scale * (last - zero)
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:  # noqa: ANN401 - torch's own signature
        x, y = ctx.saved_tensors
        (gradient,) = gradients
        passed = torch.ops.aten.hardtanh_backward(gradient, x, ctx.low, ctx.high)
        by_stretch = None
        if ctx.needs_input_grad[1]:
            by_stretch = _dot(gradient, y) - _dot(passed, x)
        return passed, by_stretch, None


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.dot(a.reshape(-1).float(), b.reshape(-1).float())


def _ends(fmt: TensorFormat) -> tuple[int, int]:
    """Return the least and the largest decoded value."""
    return 0 if fmt.codebook is None else fmt.codebook[0], fmt.max_decoded


def _through_codebook(
    x: torch.Tensor, scale: float, zero: int, codebook: tuple[int, ...]
) -> torch.Tensor:
    book = torch.tensor(codebook, dtype=x.dtype, device=x.device)
    codes = torch.bucketize((x / scale + zero).contiguous(), (book[1:] + book[:-1]) / 2, right=True)
    return (book[codes] - zero) * scale


def rounded(x: torch.Tensor, fmt: TensorFormat, stretch: torch.Tensor) -> torch.Tensor:
    """Return a tensor rounded to its format.

    Args:
        x: float32 or bfloat16 [N, C, H, W], real.
        fmt: The format.
        stretch: Scalar: the scale counts times ``exp(stretch)``. Formats with row ranges (the
            heads' fine outputs) keep their scales.

    Returns:
        The same, real; float32 where the format has more codes than bfloat16 has digits.
    """
    if fmt.max_decoded >= SHORT_CODES or not fmt.uniform:
        x = x.float()
    if fmt.uniform:
        result: torch.Tensor = _Round.apply(x, stretch, fmt)  # type: ignore[no-untyped-call]
        return result
    with torch.no_grad():
        real = decode(encode(x.detach().cpu(), fmt), fmt).to(x.device)
    return x + (real - x.detach())
