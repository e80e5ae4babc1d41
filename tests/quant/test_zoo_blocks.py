# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import nn

from quant.errors import QuantizationError, UnsupportedLayerError
from quant.zoo.blocks import C3, SPP, SPPF, BlockStyle, Conv, RepBottleneck, RepConv, fused_kernel
from quant.zoo.head import Detect

STYLE = BlockStyle("SiLU", 1e-3)


def shake_norms(module, seed):
    generator = torch.Generator().manual_seed(seed)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.copy_(torch.randn(norm.num_features, generator=generator))
            norm.running_var.copy_(torch.rand(norm.num_features, generator=generator) + 0.5)
            norm.weight.data.copy_(torch.randn(norm.num_features, generator=generator))
            norm.bias.data.copy_(torch.randn(norm.num_features, generator=generator))


@pytest.mark.parametrize(
    ("block", "stride", "padding"),
    [
        (lambda: RepConv(STYLE, 8, 8), 1, 1),
        (lambda: RepConv(STYLE, 8, 16), 1, 1),
        (lambda: RepConv(STYLE, 8, 8, 2), 2, 1),
        (lambda: Conv(STYLE, 8, 16, 3, 2), 2, 1),
        (lambda: Conv(STYLE, 8, 16, 6, 2, 2), 2, 2),
    ],
)
def test_fused_kernel_equals_the_block(block, stride, padding):
    torch.manual_seed(0)
    made = block().eval().double()
    shake_norms(made, 1)
    x = torch.randn(2, 8, 12, 12, dtype=torch.float64)
    weight, bias = fused_kernel(made)
    fused = made.act(nn.functional.conv2d(x, weight, bias, stride, padding))
    assert torch.allclose(fused, made(x), atol=1e-12)


def test_repconv_has_an_identity_branch_only_where_shapes_allow():
    assert RepConv(STYLE, 8, 8).rbr_identity is not None
    assert RepConv(STYLE, 8, 16).rbr_identity is None
    assert RepConv(STYLE, 8, 8, 2).rbr_identity is None


def test_sppf_equals_spp_with_the_same_weights():
    torch.manual_seed(0)
    chained, parallel = SPPF(STYLE, 16, 24).eval(), SPP(STYLE, 16, 24).eval()
    parallel.load_state_dict(chained.state_dict())
    x = torch.randn(1, 16, 14, 15)
    assert torch.equal(chained(x), parallel(x))


def test_residual_blocks_add_their_input():
    torch.manual_seed(0)
    block = RepBottleneck(STYLE, 16).eval()
    x = torch.randn(1, 16, 5, 5)
    assert torch.equal(block(x), x + block.cv2(block.cv1(x)))
    assert C3(STYLE, 16, 16, 1, True).m[0].add
    assert not C3(STYLE, 16, 16, 1, False).m[0].add


def test_unknown_activation_is_refused():
    with pytest.raises(UnsupportedLayerError, match="activation 'Mish' is not known; known: SiLU"):
        Conv(BlockStyle("Mish", 1e-3), 8, 8)


def make_head(size=(64, 96)):
    torch.manual_seed(0)
    anchors = (((10.0, 12.0), (20.0, 18.0)), ((40.0, 44.0), (60.0, 52.0)))
    return Detect((8, 16), 3, anchors, (8, 16), size)


def test_decode_follows_the_formula_row_by_row():
    head = make_head().eval()
    maps = [torch.randn(2, 8, 8, 12), torch.randn(2, 16, 4, 6)]
    rows = head(maps)
    raw = head.train()(maps)
    assert [tuple(r.shape) for r in raw] == [(2, 16, 8, 12), (2, 16, 4, 6)]
    assert rows.shape == (2, 2 * (8 * 12 + 4 * 6), 8)
    # image, scale, anchor, y, x -> place in the rows
    for image, scale, anchor, y, x, row in (
        (0, 0, 0, 0, 0, 0),
        (1, 0, 1, 7, 11, 2 * 96 - 1),
        (1, 0, 1, 2, 5, 96 + 2 * 12 + 5),
        (0, 1, 1, 3, 2, 2 * 96 + 24 + 3 * 6 + 2),
    ):
        stride = (8, 16)[scale]
        s = torch.sigmoid(raw[scale][image, anchor * 8 : anchor * 8 + 8, y, x])
        width, height = head.pixel_anchors()[scale][anchor]
        wanted = torch.cat(
            (
                torch.stack(
                    (
                        (2 * s[0] - 0.5 + x) * stride,
                        (2 * s[1] - 0.5 + y) * stride,
                        (2 * s[2]) ** 2 * width,
                        (2 * s[3]) ** 2 * height,
                    )
                ),
                s[4:],
            )
        )
        assert torch.allclose(rows[image, row], wanted, rtol=1e-5, atol=1e-5)


def test_anchors_are_stored_in_units_of_the_stride():
    head = make_head()
    assert head.state_dict()["anchors"].tolist()[1] == [[2.5, 2.75], [3.75, 3.25]]
    assert head.pixel_anchors()[0] == ((10.0, 12.0), (20.0, 18.0))
    assert not any("grid" in key for key in head.state_dict())


@pytest.mark.parametrize("size", [(64, 100), (0, 64), (8, 64)])
def test_image_sizes_off_the_stride_are_refused(size):
    with pytest.raises(QuantizationError, match="multiple of the largest stride 16"):
        make_head(size)
