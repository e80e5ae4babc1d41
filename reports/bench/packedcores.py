# SPDX-License-Identifier: Apache-2.0
"""``python -m reports.bench.packedcores FOLDER --json FILE``: size, exactness, speed of the cores.

Sizes: Yosys ``synth_xilinx -family xcup -flatten``, int4 times uint4 (w4a8: uint8), accumulators of
18 bits, the core alone. Exactness: every core in Verilator on its DSP48E2 path. Speed: the plain
core between shift registers on ECP5-85k, beside one without a pipeline.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import median

import numpy as np

from hw.conv import rtl_sources
from hw.memories import mem_text
from hw.packed_sources import dsp_ports, packed_sources
from quant.errors import MismatchError, NibbleflowError, ToolError
from reports.bench.record import Row
from reports.nextpnr import place_and_route
from reports.yosys import XILINX, counted_resources, read_sources, synthesise
from sim.packed import PackedCore, check_core

ECP5 = "synth_ecp5 -nodsp"
OUTPUTS = 1_000_000
SEED = 3
PLACE_SEEDS = (1, 2, 3, 4, 5)
RTL = Path(__file__).resolve().parent / "rtl"
NETLIST = "netlist.json"

CORES = {
    "pack6": PackedCore("pack6", pe=4, simd=8, cascade=4, folds=16),
    "outer4": PackedCore("outer4", pe=16, simd=8, cascade=8),
    "pack12": PackedCore("pack12", pe=4, simd=2, cascade=1),
    "w4a8": PackedCore("pack6", pe=4, simd=8, cascade=4, folds=16, act_bits=8),
}
PLAIN_PE, PLAIN_SIMD = 8, 16


def main(arguments: list[str] | None = None) -> int:
    """Measure and write the figures; return the exit code."""
    parser = argparse.ArgumentParser(description="Measure the multiply-accumulate cores alone.")
    parser.add_argument("folder", type=Path, help="folder to work in")
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    given = parser.parse_args(arguments)
    try:
        figures = {
            "cores": core_rows(given.folder),
            "exact": exact_rows(given.folder),
            "fmax": speed_rows(given.folder),
        }
    except NibbleflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    given.json.write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return 0


def core_rows(folder: Path) -> list[Row]:
    """Return the size of every core.

    Raises:
        ToolError: Yosys fails, drops logic or loses blocks.
    """
    rows = []
    for name, core in CORES.items():
        options = " ".join(f"-G{key}={value}" for key, value in core.parameters.items())
        nibbles = 2 if core.act_bits > 4 else 1
        blocks = core.pe * core.simd * nibbles // (2 if core.kind == "outer4" else 1)
        macs = core.pe * core.simd * core.columns * core.pixels
        sources = read_sources([*packed_sources(), dsp_ports()])
        top = f"nf_mac_{core.kind}"
        cells = synthesise(folder / name, sources, f"{top} {options}", f"{XILINX} -top {top}")
        if cells.get("DSP48E2", 0) != blocks:
            raise ToolError(f"'{name}' has {cells.get('DSP48E2', 0)} DSP blocks, not {blocks}")
        rows.append(core_row(name, macs, cells))
    # Yosys takes a DSP block for products of nine bits and more, and for none of eight.
    for name, use_dsp, bits in (("plain_lut", 0, 4), ("plain_dsp", 1, 5)):
        options = f"-GPe={PLAIN_PE} -GSimd={PLAIN_SIMD} -GUseDsp={use_dsp} -GOperandBits={bits}"
        top, blocks = "nf_mac_plain", use_dsp * PLAIN_PE * PLAIN_SIMD
        cells = plain_cells(folder / name, f"{top} {options}", f"{XILINX} -top {top}", bits)
        if cells.get("DSP48E2", 0) != blocks:
            raise ToolError(f"'{name}' has {cells.get('DSP48E2', 0)} DSP blocks, not {blocks}")
        rows.append(core_row(name, PLAIN_PE * PLAIN_SIMD, cells))
    return rows


def core_row(name: str, macs: int, cells: dict[str, int]) -> Row:
    """Return the figures of one core; memories and shift registers count as lookup tables."""
    used = counted_resources(cells)
    dsp = used.dsp
    return {
        "name": name,
        "macs_per_cycle": macs,
        "lut": used.all_luts,
        "memory_lut": used.lutram_luts,
        "ff": used.ff,
        "dsp": dsp,
        "lut_per_mac": round(used.all_luts / macs, 3),
        "mac_per_dsp": round(macs / dsp, 3) if dsp else None,
    }


def plain_cells(folder: Path, top: str, flow: str, operand_bits: int) -> dict[str, int]:
    """Synthesise a plain core with symmetric four-bit weights; return its cells."""
    table = mem_text([(np.arange(16) - 8, operand_bits)])
    names = ("nf_mac_plain", "nf_adder_tree", "nf_table")
    sources = [path for path in rtl_sources() if path.stem in names]
    if top.startswith("nf_serial"):
        sources += sorted(RTL.glob("*.sv"))
    else:
        top += ' -GTableFile="decode.mem"'
    files = read_sources(sources) | {"decode.mem": table}
    return synthesise(folder, files, top, flow)


def exact_rows(folder: Path) -> list[Row]:
    """Compare a million accumulators of every packed core.

    Raises:
        MismatchError: One differs.
        ToolError: The simulation fails.
    """
    rows: list[Row] = []
    for name, core in CORES.items():
        # The word of three weights of pack12 has no room for the corner of its top weight.
        limits = (np.array([-7, -8, -8]), np.array([7, 7, 7])) if core.kind == "pack12" else None
        run = check_core(
            core,
            folder / f"{name}-run",
            folder / "benches",
            outputs=OUTPUTS,
            seed=SEED,
            limits=limits,
            optimise=True,
        )
        if run.mismatches or run.trouble:
            raise MismatchError(
                f"core '{name}': {run.mismatches:,} of {run.outputs:,} accumulators differ "
                f"({run.trouble or 'the stream is in order'}); replay with seed {SEED}"
            )
        rows.append(
            {
                "name": name,
                "outputs": run.outputs,
                "mismatches": run.mismatches,
                "distinct": run.distinct,
                "cycles": run.cycles,
            }
        )
    return rows


def speed_rows(folder: Path) -> list[Row]:
    """Return the clock rates of the plain core and of one without a pipeline.

    Returns:
        Per core the median over all seeds of the placement, then what every seed gives.

    Raises:
        ToolError: Yosys or nextpnr fails.
    """
    rows: list[Row] = []
    for name, pipelined in (("plain, pipelined", 1), ("plain, one stage", 0)):
        work = folder / f"ecp5-{pipelined}"
        top = f"nf_serial -GPipelined={pipelined}"
        cells = plain_cells(work, top, f"{ECP5} -top nf_serial -json {NETLIST}", 4)
        rates = {seed: place_and_route(work, NETLIST, seed) for seed in PLACE_SEEDS}
        device: Row = {"name": name, "device": "ECP5-85k, speed grade 6", "pe": 4, "simd": 8}
        size: Row = {"lut4": cells["LUT4"], "ff": cells["TRELLIS_FF"]}
        found: dict[str, float] = {"median": median(rates.values())}
        found |= {str(seed): mhz for seed, mhz in rates.items()}
        rows += [{**device, "seed": seed, **size, "mhz": mhz} for seed, mhz in found.items()]
    return rows


if __name__ == "__main__":
    sys.exit(main())
