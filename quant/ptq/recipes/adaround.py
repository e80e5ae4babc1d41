# SPDX-License-Identifier: Apache-2.0
"""AdaRound: learn for every weight whether it rounds up or down.

The rounding is a rectified sigmoid between the two levels around a weight; a term that sharpens
with time drives it to either end. The reconstruction error of the layer's outputs before their
activation is a quadratic form of the inputs' second moments, so that no images are needed.

Source: Nagel et al., Up or Down? Adaptive Rounding for Post-Training Quantization, ICML 2020,
equations 21 to 24.
"""

import torch

from quant.ptq.recipes.grid import Grid
from quant.ptq.recipes.statistics import Moments

# Ends of the stretched sigmoid, before it is cut to 0..1.
STRETCH_HIGH, STRETCH_LOW = 1.1, -0.1
# The exponent of the sharpening term falls from the first to the second after a free start.
SHARPNESS = (20.0, 2.0)
FREE_SHARE = 0.2


def adaround(
    wanted: torch.Tensor,
    moments: Moments,
    grid: Grid,
    *,
    iterations: int,
    rate: float,
    pull: float,
) -> torch.Tensor:
    """Return the codes.

    Args:
        wanted: float64 [g, f, K], the real weights of least error.
        moments: Of the layer; only the Hessian is read.
        grid: What each weight may become.
        iterations: Steps of Adam.
        rate: Its learning rate.
        pull: Weight of the sharpening term, per weight, beside the relative error of a filter.

    Returns:
        int64 [g, f, K].
    """
    below, above = grid.neighbours(wanted)
    low, high = grid.values(below), grid.values(above)
    span = high - low
    part = torch.where(span > 0.0, (wanted - low) / span.clamp(min=1e-300), 0.0)
    share = (part.clamp(0.01, 0.99) - STRETCH_LOW) / (STRETCH_HIGH - STRETCH_LOW)
    logits = torch.log(share / (1.0 - share)).float()
    # Each filter counts by its error relative to plain rounding's.
    plain = _squares(grid.values(grid.nearest(wanted)) - wanted, moments.hessian)
    relative = (1.0 / plain.clamp(min=1e-30)).float()
    hessian, low, span = moments.hessian.float(), (low - wanted).float(), span.float()
    logits.requires_grad_()
    adam = torch.optim.Adam([logits], lr=rate)
    free = int(iterations * FREE_SHARE)
    with torch.enable_grad():
        for number in range(iterations):
            adam.zero_grad()
            choice = rectified(logits)
            error = low + choice * span
            loss = (_squares(error, hessian) * relative).sum()
            if number >= free:
                past = (number - free) / max(1, iterations - free)
                power = SHARPNESS[0] + (SHARPNESS[1] - SHARPNESS[0]) * past
                open_share = 1.0 - (2.0 * choice - 1.0).abs().clamp(max=1.0).pow(power)
                loss = loss + pull * open_share.sum()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
    with torch.no_grad():
        return torch.where(rectified(logits) >= 0.5, above, below)


def rectified(logits: torch.Tensor) -> torch.Tensor:
    """Return how far each weight is drawn up, 0..1, from its logit."""
    stretched = torch.sigmoid(logits) * (STRETCH_HIGH - STRETCH_LOW) + STRETCH_LOW
    return stretched.clamp(0.0, 1.0)


def _squares(error: torch.Tensor, hessian: torch.Tensor) -> torch.Tensor:
    """Return the squared output error of each filter, [g, f], of weight errors [g, f, K]."""
    return ((error @ hessian) * error).sum(2)
