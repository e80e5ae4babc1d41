# SPDX-License-Identifier: Apache-2.0
"""Removes channel shuffles: the convolutions behind read their channels where they already lie.

A shuffle moves every channel of a feature map. Instead, maps keep the order in which they were
made, the order is tracked, and input channels of the next convolutions are reordered to match.
The network computes the same sums.
"""

import torch
from torch import nn

from quant.errors import UnsupportedLayerError
from quant.zoo.blocks import C3, Concat, Conv
from quant.zoo.described import DescribedModel
from quant.zoo.pooling import MP, SP
from quant.zoo.shuffle import Run, ShuffleBlock, ShuffleStage

Order = list[int]  # place of every channel
_Channel = tuple[int, int]  # (piece, channel of it)
_STUCK: Order = [-1]  # the order that no layer has: it cannot be rearranged


def remove_shuffles(model: DescribedModel) -> None:
    """Rearrange a network in place; one without shuffles is left as it is.

    Args:
        model: The network with its final weights.

    Raises:
        UnsupportedLayerError: A layer that reads shuffled channels is of a kind that cannot be
            rearranged.
    """
    if not any(isinstance(layer, ShuffleBlock | ShuffleStage) for layer in model.model):
        return
    orders: list[Order | None] = []  # None: as published
    with torch.no_grad():
        for number, (layer, sources) in enumerate(zip(model.model, model.reads, strict=True)):
            read = [orders[s] if s >= 0 else None for s in sources]
            widths = [model.channels[s] if s >= 0 else 3 for s in sources]
            made = _rearranged(layer, read, widths)
            if made == _STUCK:
                raise UnsupportedLayerError(
                    f"layer {number} ({type(layer).__name__}) reads shuffled channels; only Conv, "
                    "C3, Concat, pools and upsampling may"
                )
            orders.append(made)


def _rearranged(layer: nn.Module, read: list[Order | None], widths: list[int]) -> Order | None:
    """Rearrange one layer; return the order of what it makes."""
    match layer:
        case ShuffleBlock():
            return _plan([layer], read[0] or list(range(widths[0])))
        case ShuffleStage():
            return _plan(list(layer.blocks), read[0] or list(range(widths[0])), layer)
        case _ if not any(read):
            return None
        case Concat():
            joined: Order = []
            for order, width in zip(read, widths, strict=True):
                begin = len(joined)
                joined += [begin + place for place in order or range(width)]
            return joined
        case nn.Upsample() | nn.MaxPool2d() | MP() | SP():
            return read[0]
        case Conv() if layer.conv.groups == 1:
            _reorder_inputs(layer.conv, read[0])
        case C3():
            _reorder_inputs(layer.cv1.conv, read[0])
            _reorder_inputs(layer.cv2.conv, read[0])
        case _:
            return _STUCK
    return None


def _plan(blocks: list[ShuffleBlock], order: Order, stage: ShuffleStage | None = None) -> Order:
    """Give blocks their plan; return the order of what they make together."""
    channels: list[_Channel] = [(0, place) for place in order]
    plan: list[tuple[Run, ...]] = []
    for number, block in enumerate(blocks, start=1):
        if block.stride == 2:
            _reorder_all(block.branch1, order)
            _reorder_inputs(block.branch2[0], order)
            half = _filters(block.branch2)
            plan.append(())
            channels = [(number, side * half + i) for i in range(half) for side in (0, 1)]
        else:
            half = len(channels) // 2
            runs, places = _runs(channels[half:])
            _reorder_inputs(block.branch2[0], places)
            plan.append(runs)
            made = [(number, i) for i in range(half)]
            channels = [c for pair in zip(channels[:half], made, strict=True) for c in pair]
    runs, places = _runs(channels)
    (stage or blocks[0]).plan = (*plan, runs)
    return places


def _runs(channels: list[_Channel]) -> tuple[tuple[Run, ...], Order]:
    """Return the fewest slices that hold the channels, and each one's place in their join."""
    runs: list[Run] = []
    place: dict[_Channel, int] = {}
    for piece, channel in sorted(channels):
        if runs and (runs[-1].piece, runs[-1].end) == (piece, channel):
            runs[-1] = Run(piece, runs[-1].begin, channel + 1)
        else:
            runs.append(Run(piece, channel, channel + 1))
        place[piece, channel] = len(place)
    return tuple(runs), [place[c] for c in channels]


def _reorder_inputs(conv: nn.Module, order: Order | None) -> None:
    weight = conv.get_parameter("weight")
    if order is not None:
        weight[:, order] = weight.clone()


def _reorder_all(branch: nn.Sequential, order: Order) -> None:
    """Reorder a depthwise convolution with its normalisation, and the inputs of the 1x1 behind."""
    for tensor in (branch[0].get_parameter("weight"), *_per_channel(branch[1])):
        tensor[order] = tensor.clone()
    _reorder_inputs(branch[2], order)


def _per_channel(norm: nn.Module) -> list[torch.Tensor]:
    named = ("weight", "bias", "running_mean", "running_var")
    state = norm.state_dict()  # shares memory with the module
    return [state[name] for name in named]


def _filters(branch: nn.Sequential) -> int:
    return len(branch[0].get_parameter("weight"))
