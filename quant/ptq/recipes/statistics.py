# SPDX-License-Identifier: Apache-2.0
"""What a layer's rounding has to know of its inputs: second moments of columns, and of targets.

A convolution is a product of its weights with columns: one column per output pixel, holding the
inputs under the kernel. The squared error of any weights follows from the columns' second moments
alone, so columns are counted and forgotten, and only a sample of them is made.

Source: Frantar et al., GPTQ, ICLR 2023 (the Hessian of a layer's squared error); the columns of
convolutions as in Frantar and Alistarh, Optimal Brain Compression, NeurIPS 2022.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from quant.floatgraph import FloatConv, FloatLinear

Floats = npt.NDArray[np.float64]

SAMPLE_SEED = 20240917


@dataclass(frozen=True, eq=False)
class Moments:
    """Centred moments of a layer's inputs and of its wanted outputs, per channel group.

    With ``g`` groups, ``K`` weights of a filter and ``f`` filters of a group:

    Attributes:
        columns: Number of columns.
        input_mean: float64 [g, K].
        hessian: float64 [g, K, K], mean of centred products of inputs.
        cross: float64 [g, f, K], mean of centred products of wanted outputs and inputs.
        output_mean: float64 [g, f], mean of the wanted outputs, bias included.
        output_energy: float64 [g, f], their variance.
    """

    columns: int
    input_mean: torch.Tensor
    hessian: torch.Tensor
    cross: torch.Tensor
    output_mean: torch.Tensor
    output_energy: torch.Tensor

    def error(self, weights: torch.Tensor) -> torch.Tensor:
        """Return the mean squared output error of each filter behind the best bias.

        Args:
            weights: float64 [g, f, K], real.

        Returns:
            float64 [g, f], >= 0 up to rounding.
        """
        square = ((weights @ self.hessian) * weights).sum(2)
        both = (weights * self.cross).sum(2)
        return self.output_energy - 2.0 * both + square

    def best_weights(self, weights: torch.Tensor, damping: float) -> torch.Tensor:
        """Return the real weights that reach the targets best, staying near ``weights``.

        Args:
            weights: float64 [g, f, K], the float weights.
            damping: How near, as for ``damped``.

        Returns:
            float64 [g, f, K].
        """
        missing = self.cross - weights @ self.hessian
        factor = torch.linalg.cholesky(damped(self.hessian, damping))
        return weights + torch.cholesky_solve(missing.transpose(1, 2), factor).transpose(1, 2)


def damped(hessian: torch.Tensor, damping: float) -> torch.Tensor:
    """Return the Hessian with a share of its mean diagonal added; inputs that rest get 1."""
    diagonal = hessian.diagonal(dim1=1, dim2=2)
    rest = diagonal <= 0.0
    mean = diagonal.mean(dim=1, keepdim=True)
    added = torch.where(rest, torch.ones_like(diagonal), damping * mean.expand_as(diagonal))
    return hessian + torch.diag_embed(added)


class MomentSums:
    """Adds up a layer's moments over images."""

    def __init__(self, op: FloatConv | FloatLinear, columns: int, images: int, key: int) -> None:
        """Prepare.

        Args:
            op: The layer.
            columns: Columns wanted over all images.
            images: Number of images.
            key: Number of the layer: which columns are sampled depends on it.
        """
        self._op = op
        self._groups = op.groups if isinstance(op, FloatConv) else 1
        self._share = max(1, -(-columns // images))
        self._key = key
        self._count = 0
        self._origin: tuple[torch.Tensor, torch.Tensor] | None = None
        self._sums: list[torch.Tensor] = []

    def see(self, inputs: torch.Tensor, outputs: torch.Tensor, image: int) -> None:
        """Count one image.

        Args:
            inputs: float32 [1, C, H, W], what the rounded layer reads.
            outputs: float32 [1, F, OH, OW], what it shall make, before any activation.
            image: Number of the image.
        """
        pixels = outputs.shape[2] * outputs.shape[3]
        rng = np.random.default_rng([SAMPLE_SEED, self._key, image])
        share = min(self._share, pixels)
        chosen = np.sort(rng.choice(pixels, share, replace=False))
        places = torch.from_numpy(chosen).to(outputs.device)
        x = self._columns(inputs, places, outputs.shape[3])
        y = outputs.flatten(2)[0].index_select(1, places)
        y = y.reshape(self._groups, -1, share)
        if self._origin is None:
            # Sums about a point near the means lose no digits in float32.
            self._origin = x.mean(dim=2, keepdim=True), y.mean(dim=2, keepdim=True)
        x, y = x - self._origin[0], y - self._origin[1]
        found = [
            x.double().sum(2),
            y.double().sum(2),
            torch.bmm(x, x.transpose(1, 2)).double(),
            torch.bmm(y, x.transpose(1, 2)).double(),
            y.double().square().sum(2),
        ]
        before = self._sums or [torch.zeros_like(f) for f in found]
        self._sums = [a + b for a, b in zip(before, found, strict=True)]
        self._count += share

    def moments(self) -> Moments:
        """Return the moments of all images seen; at least one."""
        if self._origin is None:
            raise ValueError("no image was seen")
        n = self._count
        sx, sy, sxx, syx, syy = (s / n for s in self._sums)
        origin_x, origin_y = (o.double()[:, :, 0] for o in self._origin)
        hessian = sxx - sx[:, :, None] * sx[:, None, :]
        return Moments(
            n,
            origin_x + sx,
            (hessian + hessian.transpose(1, 2)) / 2.0,
            syx - sy[:, :, None] * sx[:, None, :],
            origin_y + sy,
            (syy - sy.square()).clamp(min=0.0),
        )

    def _columns(self, inputs: torch.Tensor, places: torch.Tensor, width: int) -> torch.Tensor:
        """Return float32 [g, K, n]: the inputs under the kernel at n output pixels."""
        op = self._op
        if isinstance(op, FloatLinear):
            return inputs.reshape(1, -1, 1)
        top, left, bottom, right = op.padding
        padded = F.pad(inputs, (left, right, top, bottom))[0]
        kh, kw = op.weight.shape[2:]
        across = padded.shape[2]
        first = (places // width) * op.stride[0] * across + (places % width) * op.stride[1]
        device = places.device
        rows = torch.arange(kh, device=device)[:, None] * across
        offsets = (rows + torch.arange(kw, device=device)).reshape(-1)
        index = (offsets[:, None] + first[None, :]).reshape(-1)
        taken = padded.flatten(1).index_select(1, index)
        return taken.reshape(self._groups, -1, len(places))
