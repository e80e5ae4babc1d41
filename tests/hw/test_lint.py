# SPDX-License-Identifier: Apache-2.0
"""The cells pass Verilator's lint without a warning, and refuse parameters with the number."""

import subprocess

import pytest

from hw.conv import emit_conv, rtl_sources
from quant.samples import sample_conv
from quant.schedule import Folding
from sim.rtl import find_verilator

pytestmark = pytest.mark.rtl

SHAPE = (8, 6, 7)


def lint(folder, *options):
    command = [
        str(find_verilator().command),
        "--lint-only",
        "-Wall",
        *options,
        *(str(p) for p in rtl_sources()),
        *(str(p) for p in sorted(folder.glob("*.sv"))),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "kwargs", "folding"),
    [
        ("dense", {"table": True}, Folding(4, 2)),
        ("depthwise", {"groups": 8, "scheme": "symmetric"}, Folding(4, 1)),
        ("point", {"kernel": 1, "padding": 0, "codebook": True}, Folding(8, 8, core="plain_dsp")),
        ("single", {"scheme": "codebook", "act_bits": 4, "weight_bits": 3}, Folding(1, 1)),
        ("strided", {"kernel": (1, 3), "stride": 2, "padding": (0, 1, 0, 2)}, Folding(2, 8)),
    ],
)
def test_emitted_tops_are_clean(tmp_path, name, kwargs, folding):
    node, source = sample_conv(1, 8, 8, **kwargs)
    files = emit_conv(node, source, SHAPE, folding, name)
    (tmp_path / f"{name}.sv").write_text(files[f"{name}.sv"])
    code, text = lint(tmp_path, "--top-module", name)
    assert "%Warning" not in text, text
    assert code == 0, text


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (("-GPe=3",), "Pe (3) must divide 8 and Simd (4) must divide 8"),
        (("-GPadTop=3",), "Padding (3, 1, 1, 1) must be below the kernel 3x3"),
        (("-GBufferPixels=18",), "BufferPixels (18) must be at least 19, the span of a window"),
        (("-GShiftHigh=48",), "Shifts (1..48) must be in [1, 47]"),
        (("-GPixelsPerBeat=2",), "PixelsPerBeat (2) must be 1"),
        (("-GHigh=16",), "Clip limits (0..16) must be in [0, 15]"),
        (("-GOutBits=5",), "OutBits (5) must be PreBits (4) without a table"),
        (("-GSelectBits=5",), "SelectBits (5) must be in [0, 4]"),
    ],
)
def test_bad_parameters_stop_elaboration(tmp_path, parameters, message):
    code, text = lint(tmp_path, "--top-module", "nf_conv_axis", *parameters)
    assert code != 0
    assert message in text
