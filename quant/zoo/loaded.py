# SPDX-License-Identifier: Apache-2.0
"""A float model that is ready to be imported."""

from dataclasses import dataclass

from torch import nn

from quant.hostspec import HostSpec


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A float model with its host side.

    Attributes:
        module: The network in eval mode, batch normalisation unfused; maps float32 [1, 3, H, W]
            (already normalised as ``host`` says) to its decoded predictions.
        host: What the host does around it. ``outputs`` is one empty tuple per scale: the importer,
            who finds the head convolutions, fills in their names.
        name: Name of the network, for example ``yolov5n``.
    """

    module: nn.Module
    host: HostSpec
    name: str
