# SPDX-License-Identifier: Apache-2.0
"""Builds a network from the layer list of a YOLOv5 or YOLOv7 description.

A layer is ``[from, repeats, module, args]``; ``from`` is -1 (the layer before), a layer's number or
a list of both. Source: the format of the model descriptions of ultralytics/yolov5 and
WongKinYiu/yolov7.
"""

import math
import re
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from quant.errors import InputFileError, UnsupportedLayerError
from quant.zoo.blocks import C3, SPP, SPPF, BlockStyle, Concat, Conv, RepBottleneck, RepConv
from quant.zoo.head import Anchors, Detect
from quant.zoo.implicit import IDetect
from quant.zoo.pooling import MP, SP, SPPCSPC
from quant.zoo.shuffle import ShuffleBlock, ShuffleStage, StemPool

CHANNEL_DIVISOR = 8
_SCALED = (
    *("Conv", "RepConv", "RepBottleneck", "C3", "SPP", "SPPF", "SPPCSPC"),
    *("Shuffle_Block", "conv_bn_relu_maxpool"),
)
KNOWN_MODULES = ", ".join(_SCALED) + ", MP, SP, nn.MaxPool2d, nn.Upsample, Concat, Detect, IDetect"
_ACTIVATION = re.compile(r"(?:torch\.)?nn\.(\w+)\((\d*\.?\d*)\)")


@dataclass(frozen=True)
class Description:
    """A network as data.

    Attributes:
        layers: Layers ``[from, repeats, module, args]``, backbone and head in one list.
        depth_multiple: Factor on every ``repeats`` above 1.
        width_multiple: Factor on every number of filters.
        anchors: Per scale, (width, height) in pixels.
        strides: Stride of each scale in pixels.
        class_names: One name per class.
        style: Activation and epsilon of all blocks.
        image_size: (height, width) of the input in pixels.
    """

    layers: tuple[tuple[Any, int, str, tuple[Any, ...]], ...]
    depth_multiple: float
    width_multiple: float
    anchors: Anchors
    strides: tuple[int, ...]
    class_names: tuple[str, ...]
    style: BlockStyle
    image_size: tuple[int, int]

    @classmethod
    def from_json(
        cls, value: dict[str, Any], source: str, image_size: tuple[int, int] | None = None
    ) -> "Description":
        """Read the JSON value that stands beside the weights.

        Args:
            value: Object with ``yaml`` (``depth_multiple``, ``width_multiple``, ``anchors``,
                ``backbone``, ``head``), ``names``, ``strides``, ``bn_eps``, ``activation`` and
                optionally ``image_size`` [height, width] (640x640 where absent).
            source: Where it came from, for messages.
            image_size: Overrides the input size.

        Raises:
            InputFileError: A field is missing or of another type.
        """
        try:
            net = value["yaml"]
            layers = [(f, int(n), str(m), tuple(a)) for f, n, m, a in net["backbone"] + net["head"]]
            height, width = image_size or value.get("image_size", (640, 640))
            return cls(
                layers=tuple(layers),
                depth_multiple=float(net["depth_multiple"]),
                width_multiple=float(net["width_multiple"]),
                anchors=tuple(
                    tuple(zip(map(float, a[::2]), map(float, a[1::2]), strict=True))
                    for a in net["anchors"]
                ),
                strides=tuple(int(s) for s in value["strides"]),
                class_names=tuple(str(name) for name in value["names"]),
                style=BlockStyle(str(value["activation"]), float(value["bn_eps"])),
                image_size=(int(height), int(width)),
            )
        except KeyError as error:
            raise InputFileError(
                f"{source} has no field {error}; a description needs yaml, names, strides, "
                "bn_eps, activation"
            ) from None
        except (TypeError, ValueError, AttributeError) as error:
            raise InputFileError(f"{source} is not a model description: {error}") from None


class DescribedModel(nn.Module):
    """The network of a description; ``model.N`` is layer N.

    Attributes:
        model: The layers.
        reads: Per layer, the number of every layer it reads; -1 is the input image.
        channels: Per layer, the channels it makes; 0 for the head.
    """

    def __init__(self, description: Description) -> None:
        """Build the layers.

        Raises:
            UnsupportedLayerError: A module, an argument or an activation is not known.
            InputFileError: A layer reads one that does not come before it, or shapes do not fit.
            QuantizationError: The image size is not a multiple of the largest stride.
        """
        super().__init__()
        layers: list[nn.Module] = []
        channels: list[int] = []
        reads: list[tuple[int, ...]] = []
        for number, (origin, repeats, kind, args) in enumerate(description.layers):
            sources = _resolve(origin, number)
            inputs = tuple(3 if s < 0 else channels[s] for s in sources)
            place = f"layer {number} ({kind})"
            try:
                layer, made = _make_layer(description, inputs, repeats, kind, args)
            except (TypeError, ValueError, IndexError, RuntimeError) as error:
                raise UnsupportedLayerError(
                    f"{place} has arguments {list(args)}: {error}; correct the description"
                ) from None
            layers.append(layer)
            channels.append(made)
            reads.append(sources)
        if not layers or not isinstance(layers[-1], Detect):
            raise UnsupportedLayerError(
                "the description does not end with Detect; only YOLOv5- and YOLOv7-style detectors "
                "are built"
            )
        self.model = nn.ModuleList(layers)
        self.reads = tuple(reads)
        self.channels = tuple(channels)
        self._check_shapes()

    @property
    def detect(self) -> Detect:
        """The head."""
        last = self.model[-1]
        if not isinstance(last, Detect):
            raise TypeError(f"the last layer is {type(last).__name__}, not Detect")
        return last

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Return what the head makes of float32 [N, 3, H, W], see ``Detect.forward``."""
        made: list[Any] = []
        for layer, sources in zip(self.model, self.reads, strict=True):
            tensors = [image if s < 0 else made[s] for s in sources]
            single = not isinstance(layer, Concat | Detect)
            made.append(layer(tensors[0] if single else tensors))
        result: Tensor | list[Tensor] = made[-1]
        return result

    def _check_shapes(self) -> None:
        """Try a small image, so that layers or strides that do not fit fail here."""
        head = self.detect
        side = 2 * max(head.strides)
        self.eval()
        head.train()  # the head's raw maps, before any reshape could hide a wrong size
        try:
            with torch.no_grad():
                maps = self(torch.zeros((1, 3, side, side)))
        except RuntimeError as error:
            raise InputFileError(
                "the description's layers do not fit together: "
                f"{str(error).splitlines()[0]}; correct the layers"
            ) from None
        self.train()
        for raw, stride in zip(maps, head.strides, strict=True):
            if tuple(raw.shape[2:]) != (side // stride, side // stride):
                raise InputFileError(
                    f"the description's layers do not fit its strides: {side}x{side} pixels make "
                    f"{raw.shape[2]}x{raw.shape[3]} cells of a scale of stride {stride}; "
                    "correct the layers or the strides"
                )


def _resolve(origin: int | list[int], number: int) -> tuple[int, ...]:
    entries = origin if isinstance(origin, list | tuple) else [origin]
    sources = tuple(number + int(e) if int(e) < 0 else int(e) for e in entries)
    if not sources or max(sources) >= number or min(sources) < -1:
        raise InputFileError(
            f"layer {number} reads {list(entries)}, which does not come before it; "
            "correct the description"
        )
    return sources


def _make_layer(
    description: Description,
    inputs: tuple[int, ...],
    repeats: int,
    kind: str,
    args: tuple[Any, ...],
) -> tuple[nn.Module, int]:
    """Return the layer and the number of channels that it makes."""
    style, c = description.style, inputs[0]
    if kind in _SCALED:
        filters = _scaled_filters(int(args[0]), description.width_multiple)
    match kind:
        case "Conv" if repeats == 1:
            return _make_conv(style, c, filters, args), filters
        case "RepConv" if repeats == 1:
            return _make_repconv(style, c, filters, args), filters
        case "RepBottleneck":
            if filters != c:
                raise ValueError(f"it adds {c} channels to {filters}")
            depth = _scaled_depth(repeats, description.depth_multiple)
            blocks = [RepBottleneck(style, filters) for _ in range(depth)]
            return (blocks[0] if depth == 1 else nn.Sequential(*blocks)), filters
        case "C3":
            depth = _scaled_depth(repeats, description.depth_multiple)
            shortcut = bool(args[1]) if len(args) > 1 else True
            return C3(style, c, filters, depth, shortcut), filters
        case "SPPF" if repeats == 1:
            return SPPF(style, c, filters, *args[1:]), filters
        case "SPP" if repeats == 1:
            return SPP(style, c, filters, *(tuple(a) for a in args[1:])), filters
        case "SPPCSPC" if repeats == 1:
            if len(args) > 1:
                raise ValueError("only the number of filters is read")
            return SPPCSPC(style, c, filters), filters
        case "conv_bn_relu_maxpool" if repeats == 1:
            return StemPool(style, c, filters, *args[1:]), filters
        case "Shuffle_Block":
            depth = _scaled_depth(repeats, description.depth_multiple)
            stack = [ShuffleBlock(style, c, filters, *args[1:]) for _ in range(depth)]
            return (stack[0] if depth == 1 else ShuffleStage(stack)), filters
        case _:
            return _make_plain(description, inputs, repeats, kind, args)


def _make_plain(
    description: Description,
    inputs: tuple[int, ...],
    repeats: int,
    kind: str,
    args: tuple[Any, ...],
) -> tuple[nn.Module, int]:
    """Return a layer that moves or pools channels, or a head."""
    c = inputs[0]
    match kind:
        case "MP" if repeats == 1:
            return MP(*(int(a) for a in args)), c
        case "SP" if repeats == 1:
            return SP(*(int(a) for a in args)), c
        case "nn.MaxPool2d" if repeats == 1:
            kernel, stride, padding = (int(a) for a in args)
            return nn.MaxPool2d(kernel, stride, padding), c
        case "nn.Upsample" if repeats == 1:
            if args[0] not in (None, "None") or args[2] != "nearest":
                raise ValueError("only nearest-neighbour upsampling by a factor is built")
            return nn.Upsample(scale_factor=int(args[1]), mode="nearest"), c
        case "Concat" if repeats == 1:
            if args[0] != 1:
                raise ValueError(f"it concatenates along axis {args[0]}; only channels (1)")
            return Concat(), sum(inputs)
        case "Detect" if repeats == 1:
            return _make_detect(Detect, description, inputs), 0
        case "IDetect" if repeats == 1:
            return _make_detect(IDetect, description, inputs), 0
        case _:
            raise UnsupportedLayerError(
                f"module '{kind}' (repeated {repeats}) is not known; known: {KNOWN_MODULES}"
            )


def _make_conv(style: BlockStyle, inputs: int, filters: int, args: tuple[Any, ...]) -> Conv:
    """Make a layer of ``[filters, kernel, stride, padding, groups, activation]``."""
    if len(args) > 6:
        raise ValueError("at most filters, kernel, stride, padding, groups, activation")
    filled: list[Any] = [*args[1:], *(1, 1, None, 1, True)[len(args) - 1 :]]
    kernel, stride, padding, groups, activation = filled
    return Conv(
        _with_activation(style, activation),
        inputs,
        filters,
        int(kernel),
        int(stride),
        None if padding in (None, "None") else int(padding),
        int(groups),
    )


def _make_repconv(style: BlockStyle, inputs: int, filters: int, args: tuple[Any, ...]) -> RepConv:
    """Make a layer of ``[filters, 3, stride]``."""
    if len(args) > 3 or (len(args) > 1 and args[1] != 3):
        raise ValueError("only filters, kernel size 3 and the stride are read")
    return RepConv(style, inputs, filters, *(int(a) for a in args[2:]))


def _with_activation(style: BlockStyle, value: object) -> BlockStyle:
    """Return the style with the activation of a layer's last argument."""
    if value is True or value == "True":
        return style
    found = _ACTIVATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"activation {value!r} is neither True nor such as nn.LeakyReLU(0.1)")
    name, number = found.groups()
    if name != "LeakyReLU":
        if number:
            raise ValueError(f"activation {value!r} takes no number")
        return replace(style, activation=name)
    # torch's own default, which a bare nn.LeakyReLU() has
    return replace(style, activation=name, slope=float(number or 0.01))


def _make_detect(head: type[Detect], description: Description, inputs: tuple[int, ...]) -> Detect:
    if not len(inputs) == len(description.anchors) == len(description.strides):
        raise ValueError(
            f"{len(inputs)} scales, {len(description.anchors)} anchor sets, "
            f"{len(description.strides)} strides"
        )
    if len({len(a) for a in description.anchors}) != 1 or not description.anchors[0]:
        raise ValueError("every scale needs the same number of anchors, at least 1")
    return head(
        inputs,
        len(description.class_names),
        description.anchors,
        description.strides,
        description.image_size,
    )


def _scaled_filters(filters: int, multiple: float) -> int:
    return math.ceil(filters * multiple / CHANNEL_DIVISOR) * CHANNEL_DIVISOR


def _scaled_depth(repeats: int, multiple: float) -> int:
    return max(round(repeats * multiple), 1) if repeats > 1 else repeats
