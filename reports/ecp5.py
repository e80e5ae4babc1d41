# SPDX-License-Identifier: Apache-2.0
"""A design on Lattice ECP5: synthesised, placed and routed with open tools, to a real clock rate.

ECP5 is no UltraScale+: its clock rates say how designs compare with each other.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from hw.cell import Cell
from hw.devices import find_device
from hw.estimate import Resources
from quant.errors import PlanError, ToolError
from reports.cellsynth import SOFT_PRODUCT, products_of
from reports.nextpnr import place_and_route, placed_counts
from reports.yosys import synthesise

PART = "LFE5U-85F, speed grade 6"
BOARD = "ulx3s"
"""Whose device is taken."""

PINS = 365
"""Pins of the package CABGA756. Source: FPGA-DS-02012."""

SEED = 1
_NETLIST = "netlist.json"
_SOFT = "product_in_logic"
# Products other than those become blocks of 18 by 18 bits, once they are as narrow as their
# factors; what is left after that goes through the flow without blocks.
_BLOCKS = (
    "proc", "flatten", "opt_expr", "opt_clean", "opt -nodffe -nosdff", "wreduce", "peepopt",
    "opt_clean",
    "techmap -map +/mul2dsp.v -D DSP_A_MAXWIDTH=18 -D DSP_B_MAXWIDTH=18 -D DSP_A_MINWIDTH=2 "
    f"-D DSP_B_MINWIDTH=2 -D DSP_NAME=$__MUL18X18 t:$mul a:{_SOFT}=1 %d",
    f"chtype -set $mul t:{SOFT_PRODUCT}",
    "techmap -map +/lattice/dsp_map_18x18.v",
)  # fmt: skip
# A six-input lookup table takes up to four of the four-input tables of ECP5; two in the mean.
_TABLES = 2


@dataclass(frozen=True)
class PlacedDesign:
    """A design that was placed and routed.

    Attributes:
        name: Of its top.
        mhz: Clock rate that the router reached.
        lut4: Four-input lookup tables, those of carry chains and memories among them.
        ff: Flip-flops.
        multipliers: Multiplier blocks.
        blocks: Memory blocks of 18 Kibit.
    """

    name: str
    mhz: float
    lut4: int
    ff: int
    multipliers: int
    blocks: int


def check_fit(name: str, cells: Collection[Cell], estimated: Resources, pins: int) -> None:
    """Refuse a design that ECP5 cannot hold.

    Args:
        name: What it is.
        cells: Its cells.
        estimated: What they take together.
        pins: Bits of its ports.

    Raises:
        PlanError: It has cells made of blocks of another device, or more than there is.
    """
    device = find_device(BOARD)
    for cell in cells:
        styles = {str(cell.parameters.get(key)) for key in ("Style", "WeightStyle")}
        if "ultra" in styles:
            raise PlanError(
                f"'{name}' has a memory in ultra RAM; {PART} has none; plan with --board {BOARD}"
            )
        core = cell.parameters.get("Core")
        if core not in (None, "plain"):
            raise PlanError(
                f"'{name}' has a layer with core '{core}', made of DSP48E2 blocks; {PART} has "
                f"none; plan with --board {BOARD}"
            )
    for what, needed, limit in (
        ("lookup tables", _TABLES * estimated.all_luts, device.lut),
        ("multipliers", estimated.dsp, device.dsp),
        ("memory blocks", estimated.bram18, device.bram36 * 2),
        ("pins", pins, PINS),
    ):
        if needed > limit:
            raise PlanError(
                f"'{name}' needs about {needed:,} {what}; {PART} has {limit:,}; fold it for fewer "
                "multiply-accumulates (--max-macs), or name small cells with --nodes"
            )


def place_design(
    folder: Path, files: Mapping[str, str], top: str, soft: Collection[str]
) -> PlacedDesign:
    """Synthesise, place and route a design.

    Args:
        folder: Scratch folder.
        files: Name to text of every source and memory file.
        top: Its top module.
        soft: Instances of convolutions whose products lie in logic: Yosys does not read the
            attribute that says so.

    Raises:
        ToolError: A tool fails or drops logic.
    """
    base = f"synth_ecp5 -top {top}"
    flow = [
        *(f"setattr -set {_SOFT} 1 {products_of(f'*.{name}.*')}" for name in soft),
        f"{base} -run begin:coarse",
        *_BLOCKS,
        f"{base} -nodsp -json {_NETLIST} -run coarse:",
    ]
    synthesise(folder, files, f"{top} --keep-hierarchy", "; ".join(flow), timeout_seconds=7200)
    try:
        mhz = place_and_route(folder, _NETLIST, SEED)
    except ToolError as error:
        raise ToolError(f"'{top}' does not come through place and route: {error}") from None
    found = placed_counts(folder)
    return PlacedDesign(
        top,
        mhz,
        found["TRELLIS_COMB"],
        found["TRELLIS_FF"],
        found["MULT18X18D"],
        found["DP16KD"],
    )
