# SPDX-License-Identifier: Apache-2.0
"""RepVGG-A0: plain 3x3 blocks, each of up to three branches in training.

Source: RepVGG (Ding et al., 2021), depths and widths of size A0.
"""

from torch import nn

from quant.zoo.branches import Branch, BranchBlock, ConvNorm, ConvShape
from quant.zoo.classifier import CLASSES, Form, StagedClassifier

STEM_WIDTH = 48
STAGES = ((48, 2), (96, 4), (192, 14), (1280, 1))  # (channels, blocks)
FUSED_NAME = "rbr_reparam"


def make_repvgg_a0(form: Form, classes: int = CLASSES) -> StagedClassifier:
    """Return RepVGG-A0 with untrained weights.

    Args:
        form: ``branches``: per block a 3x3, a 1x1 and an identity where shapes allow, each
            normalised. ``fused``: one 3x3 convolution with bias per block.
        classes: Number of classes.
    """
    fused = form == "fused"

    def stage(inputs: int, filters: int, count: int) -> nn.Module:
        shapes = [ConvShape(inputs, filters, 3, 2)]
        shapes += [ConvShape(filters, filters, 3)] * (count - 1)
        return nn.Sequential(*(_block(shape, fused) for shape in shapes))

    return StagedClassifier(_block(ConvShape(3, STEM_WIDTH, 3, 2), fused), STAGES, stage, classes)


def _block(shape: ConvShape, fused: bool) -> BranchBlock:
    if fused:
        return BranchBlock(shape, {FUSED_NAME: shape.make_conv(3, bias=True)})
    branches: dict[str, Branch | list[Branch]] = {}
    branches["rbr_dense"] = ConvNorm(shape, 3)
    branches["rbr_1x1"] = ConvNorm(shape, 1)
    if shape.keeps:
        branches["rbr_identity"] = nn.BatchNorm2d(shape.inputs)
    return BranchBlock(shape, branches)
