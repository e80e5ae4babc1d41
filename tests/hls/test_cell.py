# SPDX-License-Identifier: Apache-2.0
"""Folding checks, weight packing, and the window walk counted in C++."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import hls
from hls.cell import constants_of, fold_conv
from hls.convolution import conv_kernel, pack_weights
from hls.header import data_header
from quant.errors import PlanError
from quant.samples import sample_conv
from quant.schedule import Folding
from quant.weights import Granularity


@pytest.mark.parametrize(
    ("options", "folding", "message"),
    [
        (
            {"filters": 12},
            Folding(5, 2),
            "'conv' has 12 filters, not a multiple of PE=5; divisors near 5: 4, 6",
        ),
        (
            {"filters": 12},
            Folding(4, 3),
            "'conv' has 8 channels, not a multiple of SIMD=3; divisors near 3: 2, 4",
        ),
        (
            {"filters": 12, "groups": 2},
            Folding(4, 4),
            "'conv' has 6 filters in a group, not a multiple of PE=4; divisors near 4: 3, 6",
        ),
        (
            {"filters": 8, "groups": 8},
            Folding(4, 2),
            "'conv' is depthwise with SIMD=2; limit 1; set 1",
        ),
        (
            {"filters": 8},
            Folding(4, 4, pixels_per_beat=2),
            "'conv' is scheduled with 2 pixels per beat; the HLS cell builds 1; "
            "use a folding with pixels_per_beat=1 for --hls",
        ),
        (
            {"filters": 8},
            Folding(4, 4, core="pack6"),
            "'conv' is scheduled on core pack6; the HLS cell builds plain_lut and plain_dsp; "
            "use one of these for --hls",
        ),
    ],
)
def test_refuses_what_it_does_not_build(options: dict, folding: Folding, message: str) -> None:
    node, source = sample_conv(1, 8, **options)
    with pytest.raises(PlanError) as caught:
        fold_conv(node, source, (8, 6, 6), folding)
    assert str(caught.value) == message


# Granularity, shape of the memory at PE 4 and SIMD 2 of 12 filters, 8 channels, 3 x 3.
GROUPS = [
    (Granularity.LAYER, (1, 1)),
    (Granularity.FILTER, (3, 4)),
    (Granularity.CHANNEL, (4, 2)),
    (Granularity.F_SHAPE, (36, 2)),
    (Granularity.C_SHAPE, (27, 4)),
]


@pytest.mark.parametrize(("granularity", "shape"), GROUPS)
def test_group_memory_holds_every_group_where_the_kernel_looks(
    granularity: Granularity, shape: tuple[int, int]
) -> None:
    node, source = sample_conv(1, 8, 12, granularity=granularity)
    cell = fold_conv(node, source, (8, 6, 6), Folding(4, 2))
    numbers = np.arange(node.weights.selectors.size, dtype=np.uint8)
    groups = numbers.reshape(node.weights.selectors.shape)
    memory = cell.group_memory(groups)
    assert memory.shape == shape
    by_filter, by_position, by_channel = cell.groups_by
    full = np.broadcast_to(groups, node.weights.shape)
    for f, c, ky, kx in np.ndindex(*node.weights.shape):
        row = f // 4 if by_filter else 0
        row = row * 9 + ky * 3 + kx if by_position else row
        row = row * 4 + c // 2 if by_channel else row
        lane = f % 4 if by_filter else (c % 2 if by_channel else 0)
        assert memory[row, lane] == full[f, c, ky, kx]


@pytest.mark.parametrize(("pe", "simd", "bits"), [(4, 4, 4), (1, 1, 3), (3, 3, 5), (2, 9, 8)])
def test_packed_weights_hold_every_code_where_the_header_says(
    pe: int, simd: int, bits: int
) -> None:
    node, source = sample_conv(1, 36, 12, weight_bits=bits)
    cell = fold_conv(node, source, (36, 4, 4), Folding(pe, simd))
    memory = pack_weights(cell)
    assert memory.shape[0] == cell.folds * cell.window_words
    assert (memory.shape[1] * cell.chunk_bits - pe * simd * bits) < 8  # padded to bytes only
    words = [sum(int(c) << (j * cell.chunk_bits) for j, c in enumerate(row)) for row in memory]
    rng = np.random.default_rng(0)
    for f, c, ky, kx in zip(
        *(rng.integers(0, n, 50).tolist() for n in node.weights.shape), strict=True
    ):
        groups = 36 // simd
        address = f // pe * cell.window_words + (ky * 3 + kx) * groups + c // simd
        lane = f % pe * simd + c % simd
        code = words[address] >> (lane * bits) & ((1 << bits) - 1)
        assert code == node.weights.codes[f, c, ky, kx]


def test_header_text_is_constant_and_carries_no_path() -> None:
    node, source = sample_conv(1, 4, 4, table=True)
    cell = fold_conv(node, source, (4, 4, 4), Folding(2, 2))
    arrays = conv_kernel(cell).arrays
    text = data_header(arrays, "demo", ("note",))
    assert text == data_header(arrays, "demo", ("note",))
    assert "static const uint16_t demo_weights[36][1]" in text
    assert f"static const unsigned short demo_activation[{1 << node.requant.bits}]" in text


# (C, H, W), F, (PE, SIMD), options
WALKS = [
    ((8, 12, 11), 8, (8, 8), {}),
    ((8, 12, 11), 8, (8, 4), {"stride": 2}),
    ((8, 9, 9), 16, (8, 8), {"kernel": 1, "padding": 0}),
    ((8, 9, 10), 8, (4, 4), {"kernel": 1, "padding": 0, "stride": 2}),
    ((3, 20, 20), 8, (8, 3), {"kernel": 6, "stride": 2, "padding": 2}),
    ((8, 9, 9), 8, (4, 1), {"groups": 8, "stride": 2}),
    ((2, 3, 3), 4, (4, 2), {"kernel": 5, "padding": 4}),
    ((2, 21, 21), 4, (4, 2), {"kernel": 5, "stride": 4, "padding": 0}),
    ((2, 7, 7), 4, (4, 2), {"kernel": (3, 1), "stride": (3, 2), "padding": (2, 0, 0, 1)}),
]

HARNESS = """
#include "nf_types.h"
#include "nf_window.h"
#include <cstdio>
template <class Cfg> void walk() {
    nf::window<Cfg> w, first;
    long fill = 0, iterations = 0, reads = 0, loads = 0;
    for (; !first.ready(); ++fill)
        first.loaded();
    for (; !w.done(); ++iterations) {
        const bool ready = w.ready(), room = w.room();
        if (!ready && !room) {
            std::printf("stuck\\n");
            return;
        }
        if (room) {
            w.loaded();
            ++loads;
        }
        if (ready) {
            w.step();
            ++reads;
        }
    }
    std::printf("%ld %ld %ld %ld\\n", fill, iterations, reads, loads);
}
"""


@pytest.mark.hls
@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not on PATH")
def test_window_walk_takes_the_planned_iterations(tmp_path: Path) -> None:
    """Loading hides behind reading: max(reads, loads) iterations, fill and drain, no more."""
    hls4ml = pytest.importorskip("hls4ml")
    cells = []
    structs = ""
    for index, (shape, filters, (pe, simd), options) in enumerate(WALKS):
        node, source = sample_conv(1, shape[0], filters, **options)
        cells.append(fold_conv(node, source, shape, Folding(pe, simd)))
        members = "".join(
            f"static const int {k} = {v};" for k, v in constants_of(cells[-1]).items()
        )
        structs += f"struct c{index} {{ typedef nf::ap_types types; {members} }};\n"
    calls = "".join(f"walk<c{i}>();" for i in range(len(cells)))
    (tmp_path / "walk.cpp").write_text(f"{HARNESS}{structs}int main() {{ {calls} }}\n")
    ap_types = Path(hls4ml.__file__).parent / "templates" / "vivado" / "ap_types"
    include = Path(hls.__file__).parent / "include"
    command = ["g++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"]
    command += ["-isystem", ap_types, "-I", include, "walk.cpp", "-o", "walk"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
    result = subprocess.run(
        [tmp_path / "walk"], capture_output=True, text=True, check=True, timeout=60
    )
    for cell, line in zip(cells, result.stdout.splitlines(), strict=True):
        fill, iterations, reads, loads = (int(v) for v in line.split())
        assert loads == cell.in_beats
        assert reads == cell.out_beats * cell.window_words
        row = cell.out_shape[2] * cell.folds * cell.window_words if loads > reads else 0
        assert cell.interval_cycles <= iterations <= cell.interval_cycles + fill + row
