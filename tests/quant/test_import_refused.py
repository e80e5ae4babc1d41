# SPDX-License-Identifier: Apache-2.0
"""What cannot be built is refused by name, attribute, value and way out; check lists all of it."""

import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from quant.errors import UnsupportedLayerError
from quant.hostspec import HostSpec
from quant.ptq.check import check_model
from quant.ptq.importer import import_model
from quant.zoo.loaded import LoadedModel

END = "end the graph before it with --outputs"
FLOAT_ONLY = (
    "quantize a model without it, or end the graph before it with --outputs; 'nibbleflow evaluate "
    "MODEL' measures it in float"
)
PRODUCT = (
    "multiplies two computed tensors (a gate, as in squeeze-and-excitation); the integer graph "
    f"has no such operation; {FLOAT_ONLY}"
)
BUILDS = "nibbleflow builds conv, pool, add, concat, split, upsample, lookup"


class Net(nn.Module):
    """A stem, the function under test, and a convolution behind it, so that no cut helps."""

    def __init__(self, body):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.body = body
        self.last = nn.LazyConv2d(4, 1)

    def forward(self, x):
        y = self.body(self.stem(x))
        return self.last(y[0] if isinstance(y, tuple) else y)


class Body(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def load(module: nn.Module, size: int = 16) -> LoadedModel:
    torch.manual_seed(0)
    host = HostSpec(
        size, size, "center", 114, "rgb", (0.0, 0.0, 0.0), (255.0,) * 3, "none", (), (), (), ()
    )
    return LoadedModel(module.eval(), host, "net")


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, 8, 1, 1))

    def forward(self, x):
        return x * self.scale


class Steered(nn.Module):
    def forward(self, x):
        return x if float(x.max()) > 0 else -x


class ViewWrite(nn.Module):
    def forward(self, x):
        first, second = x.chunk(2, 1)
        F.relu_(first)
        return torch.cat([first, second], 1)


REFUSED = {
    "dilation": (
        nn.Conv2d(8, 8, 3, dilation=2),
        f"'body' has dilation (2, 2); nibbleflow builds convolutions with dilation 1; {END}",
    ),
    "padding mode": (
        nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"),
        "'body' pads (1, 1, 1, 1) with mode 'reflect'; nibbleflow pads inside convolution and "
        f"pooling, with zeros; {END}",
    ),
    "pad layer": (
        nn.ZeroPad2d(1),
        "'body' pads (1, 1, 1, 1) with mode 'constant'; nibbleflow pads inside convolution and "
        f"pooling, with zeros; {END}",
    ),
    "batch statistics": (
        nn.BatchNorm2d(8, track_running_stats=False),
        "'body' normalises with the statistics of the batch; nibbleflow folds running statistics; "
        "use a batch normalisation with track_running_stats=True in eval mode",
    ),
    "group norm": (nn.GroupNorm(2, 8), f"'body' is GroupNorm; {BUILDS}; {END}"),
    "softmax": (nn.Softmax(1), f"'body' is Softmax; {BUILDS}; {END}"),
    "functional": (Body(lambda x: x.exp()), f"'body.exp' is exp; {BUILDS}; {END}"),
    "hardtanh": (
        nn.Hardtanh(-1, 1),
        f"'body' clips to (-1.0, 1.0); nibbleflow builds ReLU6, which clips to (0, 6); {END}",
    ),
    "slope": (
        nn.LeakyReLU(1.5),
        f"'body' has negative_slope 1.5; nibbleflow builds 0 <= slope < 1; {END}",
    ),
    "ceil mode": (
        nn.MaxPool2d(3, 2, ceil_mode=True),
        f"'body' has ceil_mode=True; nibbleflow builds pooling with ceil_mode=False; {END}",
    ),
    "pool dilation": (
        nn.MaxPool2d(2, dilation=2),
        f"'body' has dilation (2, 2); nibbleflow builds pooling with dilation 1; {END}",
    ),
    "indices": (
        nn.MaxPool2d(2, return_indices=True),
        f"'body' has return_indices=True; nibbleflow pools values only; {END}",
    ),
    "average padding": (
        nn.AvgPool2d(3, 1, 1),
        f"'body' has padding (1, 1); nibbleflow builds average pooling without padding; {END}",
    ),
    "average ceil mode": (
        nn.AvgPool2d(3, 2, ceil_mode=True),
        f"'body' has ceil_mode=True; nibbleflow builds pooling with ceil_mode=False; {END}",
    ),
    "divisor": (
        nn.AvgPool2d(2, divisor_override=3),
        f"'body' has divisor_override 3; nibbleflow divides by the window's 4 values; {END}",
    ),
    "adaptive": (
        nn.AdaptiveAvgPool2d(2),
        f"'body' has output_size 2; nibbleflow builds adaptive average pooling to 1x1; {END}",
    ),
    "mean over channels": (
        Body(lambda x: x.mean(1, keepdim=True)),
        "'body.mean' takes the mean of [1, 8, 16, 16] over axes 1; nibbleflow builds the mean over "
        f"height and width; {END}",
    ),
    "bilinear": (
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
        f"'body' has mode 'bilinear'; nibbleflow builds nearest-neighbour upsampling; {END}",
    ),
    "fraction": (
        nn.Upsample(scale_factor=1.5),
        f"'body' resizes 16x16 to 24x24; nibbleflow upsamples by one integer factor; {END}",
    ),
    "one axis": (
        nn.Upsample(scale_factor=(2, 1)),
        f"'body' resizes 16x16 to 32x16; nibbleflow upsamples by one integer factor; {END}",
    ),
    "constant": (
        Body(lambda x: x + 1),
        "'body.add' adds a constant; nibbleflow adds two computed tensors of equal shape; " + END,
    ),
    "alpha": (
        Body(lambda x: torch.add(x, x, alpha=2)),
        f"'body.add' has alpha 2; nibbleflow adds with alpha 1; {END}",
    ),
    "broadcast": (
        Body(lambda x: x + x[:, :1]),
        "'body.add' adds tensors of shapes [1, 8, 16, 16] and [1, 1, 16, 16]; nibbleflow adds "
        f"equal shapes; {END}",
    ),
    "cat rows": (
        Body(lambda x: torch.cat([x, x], 2)),
        f"'body.cat' has dim=2; nibbleflow concatenates channels, dim=1; {END}",
    ),
    "split rows": (
        Body(lambda x: x.chunk(2, 2)),
        f"'body.chunk' has dim=2; nibbleflow splits channels, dim=1; {END}",
    ),
    "strided slice": (
        Body(lambda x: x[..., ::2, ::4]),
        "'body.getitem' takes the elements [..., ::2, ::4]; nibbleflow slices contiguous "
        f"channels; {END}",
    ),
    "crop": (
        Body(lambda x: x[:, :, 1:]),
        "'body.getitem' takes the elements [:, :, 1:]; nibbleflow slices contiguous "
        f"channels; {END}",
    ),
    "product": (Body(lambda x: x * x), f"'body.mul' {PRODUCT}"),
    "shuffle": (
        nn.ChannelShuffle(4),
        "'body' interleaves the channels of 4 groups; the integer graph has no such operation; "
        f"{FLOAT_ONLY}",
    ),
    "odd product": (
        Body(lambda x: x * x[:, :1]),
        f"'body.mul' is mul; {BUILDS}; {END}",
    ),
    "parameter product": (Scaled(), f"'body.mul' is mul; {BUILDS}; {END}"),
    "transpose": (nn.ConvTranspose2d(8, 8, 2), f"'body' is ConvTranspose2d; {BUILDS}; {END}"),
    "computed weight": (
        Body(lambda x: F.conv2d(x, x)),
        "'body.conv2d' computes its weight from the image; a constant weight is needed; " + END,
    ),
    "reshape": (
        Body(lambda x: x.view(1, 16, 8, 16)),
        "'body.view' reshapes [1, 8, 16, 16] to [1, 16, 8, 16]; nibbleflow only flattens, before a "
        f"linear layer; {END}",
    ),
    "view write": (
        ViewWrite(),
        "'body.inplace' reads a tensor that was changed in place through a slice of it; use the "
        "out-of-place form (inplace=False)",
    ),
    "steered": (
        Steered(),
        "'body.float' turns tensor values into Python numbers (__float__) before the last trained "
        "layer; nibbleflow builds a fixed graph; remove the branch that depends on the image",
    ),
}


def fit(body):
    net = Net(body)
    with torch.no_grad():
        net.eval()(torch.zeros(1, 3, 16, 16))
    return load(net)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_its_whole_message(name):
    body, message = REFUSED[name]
    loaded = fit(body)
    with pytest.raises(UnsupportedLayerError, match=f"^{re.escape(message)}"):
        import_model(loaded)
    report = check_model(loaded)
    assert report.unsupported[0].message == message
    assert report.to_json()["unsupported"][0]["message"] == message


def test_check_lists_everything_and_import_says_how_many():
    body = nn.Sequential(nn.Softmax(1), nn.Conv2d(8, 8, 3, dilation=2), nn.GroupNorm(2, 8))
    loaded = fit(body)
    assert [u.name for u in check_model(loaded).unsupported] == ["body.0", "body.1", "body.2"]
    assert [u.kind for u in check_model(loaded).unsupported] == ["Softmax", "Conv2d", "GroupNorm"]
    with pytest.raises(UnsupportedLayerError, match=r"\(2 more; 'nibbleflow check' lists them\)$"):
        import_model(loaded)


def test_check_of_a_refused_network_still_counts_what_comes_before():
    report = check_model(fit(nn.Softmax(1)))
    assert report.operations == {"conv": 1}
    assert report.macs == 3 * 8 * 9 * 16 * 16
    assert report.parameters == 3 * 8 * 9 + 8 + 8 * 4 + 4


def test_network_that_does_not_run():
    loaded = load(nn.Sequential(nn.Conv2d(4, 4, 1)))
    with pytest.raises(UnsupportedLayerError, match=r"^'0' failed on an input of shape \[1, 3, 16"):
        import_model(loaded)


def test_half_precision_parameters():
    loaded = load(nn.Conv2d(3, 4, 1).half())
    with pytest.raises(UnsupportedLayerError, match=r"^'weight' is float16; import reads float32"):
        import_model(loaded)


def test_constant_output():
    loaded = load(Body(lambda x: torch.zeros(1)))
    with pytest.raises(UnsupportedLayerError, match="returns no tensor that was computed"):
        import_model(loaded)


def test_input_returned_as_it_came():
    with pytest.raises(UnsupportedLayerError, match=r"^'images' is returned as it came"):
        import_model(load(nn.Identity()))


def test_weights_that_are_not_finite():
    net = nn.Conv2d(3, 4, 1)
    with torch.no_grad():
        net.weight[0] = torch.nan
    with pytest.raises(UnsupportedLayerError, match="has a weight that is not finite"):
        import_model(load(net))


def test_what_calls_do_not_show_is_found_by_comparing():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sigmoid())
    # A change of the shared storage: no traced call, no version counter.
    net[0].register_forward_hook(lambda m, a, y: y.numpy().fill(0.25) and None)
    with pytest.raises(UnsupportedLayerError, match=r"^'1' differs from the module by"):
        import_model(load(net))
