# SPDX-License-Identifier: Apache-2.0
"""Draws weights for networks whose trained ones are not at hand.

Random weights alone make poor stand-ins: after dozens of layers the activations vanish, explode or
no longer depend on the image. Batch normalisation statistics measured on noise keep every layer's
values near one size. Offsets above zero keep the activations away from their bend most of the
time; without them each layer magnifies what one image differs from another, and after fifty layers
any image but the measured ones overflows the scales.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quant.zoo.head import Detect

SIDE = 128
BATCH = 8
OCTAVES = (1, 4, 16, 64, 128)
# A channel that hardly moves on this noise must not be blown up by another image.
LEAST_VARIANCE = 0.1
HEAD_DEVIATION = 0.02
OBJECTS_PER_IMAGE = 4.0


def seed_weights(
    module: nn.Module, seed: int, *, mean: float = 0.5, deviation: float = 0.29
) -> None:
    """Fill a network with seeded weights and matching batch normalisation statistics, in place.

    Args:
        module: Network that maps float32 [N, 3, H, W], in training mode for any H and W.
        seed: Seed of every draw.
        mean: Mean of the network's input, for the noise that is measured.
        deviation: Standard deviation of the network's input.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(like: torch.Tensor, centre: float, spread: float) -> torch.Tensor:
        return torch.randn(like.shape, generator=generator) * spread + centre

    norms: list[tuple[nn.BatchNorm2d, float | None]] = []
    with torch.no_grad():
        for layer in module.modules():
            match layer:
                case nn.Conv2d() | nn.Linear():
                    fan_in = layer.weight[0].numel()
                    layer.weight.copy_(normal(layer.weight, 0.0, (2 / fan_in) ** 0.5))
                    if layer.bias is not None:
                        layer.bias.copy_(normal(layer.bias, 0.0, 0.1))
                case nn.BatchNorm2d():
                    layer.weight.copy_(normal(layer.weight, 0.5, 0.1).clamp(0.2, 0.8))
                    layer.bias.copy_(normal(layer.bias, 0.6, 0.3))
                    norms.append((layer, layer.momentum))
                case _ if hasattr(layer, "implicit"):
                    parameter = layer.get_parameter("implicit")
                    parameter.copy_(normal(parameter, float(parameter.mean()), HEAD_DEVIATION))
        for layer in module.modules():
            if isinstance(layer, Detect):
                layer.set_prior(OBJECTS_PER_IMAGE)  # few boxes on any image, as after training
        module.train()
        for norm, _ in norms:
            norm.momentum = 1.0  # the statistics of this batch, nothing of the start
        module(_noise(generator) * deviation + mean)
    for norm, momentum in norms:
        norm.momentum = momentum
        variance = norm.get_buffer("running_var")
        variance.clamp_(min=LEAST_VARIANCE * float(variance.mean()))
    module.eval()


def _noise(generator: torch.Generator) -> Tensor:
    """Return float32 [BATCH, 3, SIDE, SIDE] of unit variance with as much in flat areas as in fine.

    White noise would average out in deep layers, where photographs do not.
    """
    total = torch.zeros((BATCH, 3, SIDE, SIDE))
    for cells in OCTAVES:
        grid = torch.randn((BATCH, 3, cells, cells), generator=generator)
        total += F.interpolate(grid, size=(SIDE, SIDE), mode="nearest")
    total *= len(OCTAVES) ** -0.5
    return total
