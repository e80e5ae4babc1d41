# SPDX-License-Identifier: Apache-2.0
"""MobileOne-S0: depthwise and pointwise blocks, each of several branches in training.

Source: MobileOne (Vasu et al., 2023), widths and branch counts of size S0.
"""

from torch import nn

from quant.zoo.branches import Branch, BranchBlock, ConvNorm, ConvShape
from quant.zoo.classifier import CLASSES, Form, StagedClassifier

STEM_WIDTH = 48
STAGES = ((48, 2), (128, 8), (256, 10), (1024, 1))  # (channels, pairs of blocks)
CONV_BRANCHES = 4
FUSED_NAME = "reparam_conv"


def make_mobileone_s0(form: Form, classes: int = CLASSES) -> StagedClassifier:
    """Return MobileOne-S0 with untrained weights.

    Args:
        form: ``branches``: per block four convolutions, a 1x1 beside every 3x3 and an identity
            where shapes allow, each normalised (one convolution in the stem). ``fused``: one
            convolution with bias per block.
        classes: Number of classes.
    """
    fused = form == "fused"

    def stage(inputs: int, filters: int, pairs: int) -> nn.Module:
        blocks: list[BranchBlock] = []
        for index in range(pairs):
            c, stride = (inputs, 2) if index == 0 else (filters, 1)
            depthwise, pointwise = ConvShape(c, c, 3, stride, c), ConvShape(c, filters, 1)
            blocks.append(_block(depthwise, CONV_BRANCHES, fused))
            blocks.append(_block(pointwise, CONV_BRANCHES, fused))
        return nn.Sequential(*blocks)

    stem = _block(ConvShape(3, STEM_WIDTH, 3, 2), 1, fused)
    return StagedClassifier(stem, STAGES, stage, classes)


def _block(shape: ConvShape, convs: int, fused: bool) -> BranchBlock:
    if fused:
        return BranchBlock(shape, {FUSED_NAME: shape.make_conv(shape.kernel, bias=True)})
    branches: dict[str, Branch | list[Branch]] = {}
    branches["rbr_conv"] = [ConvNorm(shape, shape.kernel) for _ in range(convs)]
    if shape.kernel > 1:
        branches["rbr_scale"] = ConvNorm(shape, 1)
    if shape.keeps:
        branches["rbr_skip"] = nn.BatchNorm2d(shape.inputs)
    return BranchBlock(shape, branches)
