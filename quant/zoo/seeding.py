# SPDX-License-Identifier: Apache-2.0
"""Draws weights for networks whose trained ones are not at hand.

Random weights alone make poor stand-ins: after dozens of layers the activations vanish, explode or
no longer depend on the image. Batch normalisation statistics measured on noise keep every layer's
values near unit variance, as training would.
"""

import torch
from torch import nn

from quant.zoo.head import Detect

SIDE = 128
BATCH = 4
HEAD_DEVIATION = 0.02
OBJECTS_PER_IMAGE = 4.0


def seed_weights(
    module: nn.Module, seed: int, *, mean: float = 0.5, deviation: float = 0.29
) -> None:
    """Fill a network with seeded weights and matching batch normalisation statistics, in place.

    Args:
        module: Network that maps float32 [N, 3, H, W]; the sides must be free to change (a
            ``Detect`` head is left in training mode while it is measured).
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
                    layer.weight.copy_(normal(layer.weight, 1.0, 0.2).clamp(0.4, 1.6))
                    layer.bias.copy_(normal(layer.bias, 0.0, 0.3))
                    norms.append((layer, layer.momentum))
                case _ if hasattr(layer, "implicit"):
                    parameter = layer.get_parameter("implicit")
                    parameter.copy_(normal(parameter, float(parameter.mean()), HEAD_DEVIATION))
        for layer in module.modules():
            if isinstance(layer, Detect):
                layer.set_prior(OBJECTS_PER_IMAGE)  # few boxes on any image, as after training
        noise = torch.randn((BATCH, 3, SIDE, SIDE), generator=generator) * deviation + mean
        module.train()
        for norm, _ in norms:
            norm.momentum = 1.0  # the statistics of this batch, nothing of the start
        module(noise)
    for norm, momentum in norms:
        norm.momentum = momentum
    module.eval()
