# SPDX-License-Identifier: Apache-2.0
"""Image classifiers of five stages of branch blocks, a global pool and a linear layer."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from quant.errors import InputFileError
from quant.hostspec import HostSpec
from quant.zoo.branches import BranchBlock
from quant.zoo.checkpoint import load_into
from quant.zoo.loaded import LoadedModel
from quant.zoo.seeding import seed_weights

Form = Literal["branches", "fused"]
# Makes one stage: channels read, channels made, number of blocks (the first has stride 2).
MakeStage = Callable[[int, int, int], nn.Module]

IMAGE_SIZE = (224, 224)
CLASSES = 1000
# Per channel in byte units; source: the usual preprocessing of ImageNet classifiers.
MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)


class StagedClassifier(nn.Module):
    """Stem, four stages, mean over the plane, linear layer; names as in the published dicts."""

    def __init__(
        self, stem: BranchBlock, stages: tuple[tuple[int, int], ...], make: MakeStage, classes: int
    ) -> None:
        """Make the network.

        Args:
            stem: First block; the image enters it.
            stages: (channels, blocks) of stages 1 to 4.
            make: Makes one stage.
            classes: Number of classes.
        """
        super().__init__()
        self.stage0 = stem
        channels = stem.shape.filters
        for number, (width, blocks) in enumerate(stages, start=1):
            self.add_module(f"stage{number}", make(channels, width, blocks))
            channels = width
        self.count = len(stages)
        self.gap = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(channels, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits, float32 [N, classes], of float32 [N, 3, H, W]."""
        x = self.stage0(image)
        for number in range(1, self.count + 1):
            x = self.get_submodule(f"stage{number}")(x)
        result: Tensor = self.linear(self.gap(x).flatten(1))
        return result


def fused_tensors(module: StagedClassifier, name: str) -> dict[str, Tensor]:
    """Return the state dict of the fused form of a network in branch form.

    Args:
        module: Network in eval mode.
        name: What a block's one convolution is called, for example ``reparam_conv``.
    """
    tensors = {f"linear.{k}": v.clone() for k, v in module.linear.state_dict().items()}
    for path, block in module.named_modules():
        if isinstance(block, BranchBlock):
            weight, bias = block.fused()
            tensors |= {f"{path}.{name}.weight": weight, f"{path}.{name}.bias": bias}
    return tensors


def build_classifier(
    make: Callable[[Form, int], StagedClassifier],
    form: Form,
    fused_name: str,
    *,
    seed: int | None = None,
    tensors: dict[str, Tensor] | None = None,
    source: Path,
    image_size: tuple[int, int] | None = None,
) -> LoadedModel:
    """Build a classifier with its host side.

    Args:
        make: Makes the network of a form with a number of classes.
        form: ``branches`` (training) or ``fused`` (inference).
        fused_name: What a fused block's convolution is called.
        seed: Draws weights; both forms of one seed compute the same function.
        tensors: State dict, names as the published ones; either this or ``seed``.
        source: Where the tensors came from: for messages, and the network's name.
        image_size: (height, width) in pixels; ``None`` for 224x224.

    Raises:
        InputFileError: Neither or both of seed and tensors, or the tensors are of another network.
    """
    if (seed is None) == (tensors is None):
        raise InputFileError(f"'{source}' needs weights or a seed, one of the two")
    classes = CLASSES
    if tensors is not None:
        last = tensors.get("linear.bias")
        if last is None or last.ndim != 1:
            raise InputFileError(f"'{source}' has no 'linear.bias'; name another --arch")
        classes = len(last)
    module = make(form, classes)
    if seed is not None:
        trained = make("branches", classes)
        seed_weights(trained, seed, mean=0.0, deviation=1.0)
        with torch.no_grad():
            tensors = fused_tensors(trained, fused_name) if form == "fused" else None
        module = module if form == "fused" else trained
    if tensors is not None:
        load_into(module, tensors, source)
    module.eval().requires_grad_(False)
    return LoadedModel(module, classifier_host(classes, image_size or IMAGE_SIZE), source.stem)


def classifier_host(classes: int, image_size: tuple[int, int]) -> HostSpec:
    """Return the host side of an ImageNet classifier: squash, RGB, ImageNet mean and deviation."""
    return HostSpec(
        height=image_size[0],
        width=image_size[1],
        place="squash",
        pad_value=0,
        channel_order="rgb",
        mean=MEAN,
        std=STD,
        decode="classify",
        strides=(),
        anchors=(),
        outputs=((),),
        class_names=tuple(f"class {i}" for i in range(classes)),
    )
