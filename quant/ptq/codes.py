# SPDX-License-Identifier: Apache-2.0
"""Real values to codes and back, in torch, for the float-scale model."""

import torch

from quant.formats import TensorFormat


def encode(real: torch.Tensor, fmt: TensorFormat) -> torch.Tensor:
    """Return the code nearest to each real value.

    Args:
        real: float [N, C, H, W].
        fmt: Format of the C channels.

    Returns:
        int64 codes in range; ties go up.
    """
    scale, zero = _per_row(fmt, real.dtype)
    steps = real / scale + zero
    if fmt.codebook is None:
        return torch.floor(steps + 0.5).clamp(0, (1 << fmt.bits) - 1).long()
    book = torch.tensor(fmt.codebook, dtype=real.dtype)
    # A value on the middle between two entries belongs to the upper one (right=True).
    return torch.bucketize(steps, (book[1:] + book[:-1]) / 2, right=True)


def decode(codes: torch.Tensor, fmt: TensorFormat) -> torch.Tensor:
    """Return the float32 real values of int64 codes [N, C, H, W]."""
    scale, zero = _per_row(fmt, torch.float32)
    values = codes if fmt.codebook is None else torch.tensor(fmt.codebook)[codes]
    return (values.to(torch.float32) - zero) * scale


def _per_row(fmt: TensorFormat, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    scale = torch.from_numpy(fmt.scale_per_row.copy()).to(dtype)
    zero = torch.from_numpy(fmt.zero_point_per_row.copy()).to(dtype)
    return scale.reshape(1, -1, 1, 1), zero.reshape(1, -1, 1, 1)
