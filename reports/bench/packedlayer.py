# SPDX-License-Identifier: Apache-2.0
"""``python -m reports.bench.packedlayer FOLDER --json FILE``: a complete layer and its parts.

The layer: 64 to 64 channels, 3x3, on 80x80, int4 times uint4, core ``pack6`` with 192 products per
cycle: window generator, weights, core, requantizer, order of pixels, AXI4-Streams. Yosys
``synth_xilinx -family xcup``: flattened for the whole, and with its modules kept apart for the
share of every part; what the two differ by is what flattening merges.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from hw.conv import emit_conv, rtl_sources
from hw.geometry import conv_geometry
from hw.packed_sources import dsp_ports
from quant.errors import NibbleflowError
from quant.samples import sample_conv
from quant.schedule import Folding
from reports.bench.record import Row
from reports.yosys import XILINX, counted_resources, read_sources, synthesise

CHANNELS, PICTURE = 64, (80, 80)
FOLDING = Folding(4, 8, 2, "pack6")
TOP = "layer"
APART = "synth_xilinx -family xcup"
STATISTICS = "parts.json"

# Instances below the layer, by the name that a part has in the table.
PARTS = {
    "window": ("u_window",),
    "weights": ("u_core.g_memory",),
    "core": ("u_core",),
    "requantizer": ("u_finish",),
    "queue and order": ("u_queue", "u_order"),
}
REST = "control and streams"


def main(arguments: list[str] | None = None) -> int:
    """Measure and write the figures; return the exit code."""
    parser = argparse.ArgumentParser(description="Synthesise a complete layer on a packed core.")
    parser.add_argument("folder", type=Path, help="folder to work in")
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    given = parser.parse_args(arguments)
    try:
        figures = {"layer": layer_rows(given.folder, CHANNELS, PICTURE, FOLDING)}
    except NibbleflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    given.json.write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return 0


def layer_rows(
    folder: Path, channels: int, picture: tuple[int, int], folding: Folding
) -> list[Row]:
    """Return what the whole layer takes, then each of its parts.

    Args:
        folder: Folder to work in.
        channels: Of input and output.
        picture: Rows and columns.
        folding: With a packed core.

    Raises:
        ToolError: Yosys fails or drops logic.
    """
    node, source = sample_conv(1, channels, channels, act_bits=4, scheme="symmetric")
    shape = (channels, *picture)
    files = emit_conv(node, source, shape, folding, TOP, file_prefix="")
    files |= read_sources([*rtl_sources(), dsp_ports()])
    macs = conv_geometry(node, shape, folding, source).macs_per_cycle
    whole = synthesise(folder / "whole", files, TOP, f"{XILINX} -top {TOP}")
    flow = f"{APART} -top {TOP}; tee -o {STATISTICS} stat -json"
    synthesise(folder / "parts", files, f"{TOP} --keep-hierarchy", flow)
    modules = json.loads((folder / "parts" / STATISTICS).read_text(encoding="utf-8"))["modules"]
    shares = part_cells(modules)
    return [
        _row("whole", whole, macs),
        *(_row(name, cells, macs) for name, cells in shares.items()),
    ]


def part_cells(modules: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, int]]:
    """Return the cells of every part from the statistics of the modules kept apart.

    Args:
        modules: Per module, named by the path of its instance, its ``num_cells_by_type``.
    """
    found: dict[str, dict[str, int]] = {name: {} for name in (*PARTS, REST)}
    for module, statistics in modules.items():
        part = next((n for n, paths in PARTS.items() if any(p in module for p in paths)), REST)
        cells = statistics["num_cells_by_type"]
        assert isinstance(cells, dict)
        for kind, count in cells.items():
            found[part][kind] = found[part].get(kind, 0) + int(count)
    return found


def _row(name: str, cells: Mapping[str, int], macs: int) -> Row:
    used = counted_resources(cells)
    return {
        "part": name,
        "macs_per_cycle": macs,
        "lut": used.all_luts,
        "ff": used.ff,
        "dsp": used.dsp,
        "bram18": used.bram18,
        "lut_per_mac": round(used.all_luts / macs, 3),
    }


if __name__ == "__main__":
    sys.exit(main())
