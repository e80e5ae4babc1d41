# SPDX-License-Identifier: Apache-2.0
"""Simulate ``plain_conv.sv`` on the golden vectors of one convolution; write what it answers.

    python examples/foreign_rtl/simulate.py BUILD NODE DUMP [--design FILE]

reads ``BUILD/vectors/<node>`` (made by ``nibbleflow vectors``) and writes
``DUMP/<node>/output.mem`` and ``accumulator.mem`` (for ``nibbleflow compare``).
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from quant.errors import InputFileError, NibbleflowError, ToolError, UnsupportedLayerError
from sim.rtl.verilator import find_verilator, run_tool

HERE = Path(__file__).resolve().parent
ANSWERS = ("output.mem", "accumulator.mem")
FATAL_LINES = 5


def find_vectors(build: Path, node: str) -> tuple[Path, dict[str, Any]]:
    """Return the vector folder of a node and its ``vector.json``.

    Raises:
        InputFileError: There are no vectors of that node.
    """
    names = []
    for path in sorted((build / "vectors").glob("*/vector.json")):
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        names.append(about["name"])
        if about["name"] == node:
            return path.parent, about
    raise InputFileError(
        f"{build} has no vectors of '{node}', there are: {', '.join(names) or 'none'}; "
        f"run 'nibbleflow vectors {build} --nodes {node}'"
    )


def parameters_of(about: dict[str, Any]) -> dict[str, int]:
    """Return the parameters of ``bench`` for one convolution.

    Args:
        about: Its ``vector.json``.

    Raises:
        UnsupportedLayerError: The design cannot compute that node.
    """
    name, geometry = about["name"], about["geometry"]
    source, output = about["inputs"][0], about["output"]
    for what, fits in (
        (f"a node of kind {about['kind']}", about["kind"] == "conv"),
        (f"a convolution of {geometry.get('groups')} groups", geometry.get("groups") == 1),
        ("read through a codebook", source["codebook"] is None),
        (f"written {source['channels_per_beat']} codes a word", source["channels_per_beat"] == 1),
    ):
        if not fits:
            raise UnsupportedLayerError(
                f"'{name}' is {what}; plain_conv.sv computes convolutions of one group on plain "
                "codes, one a word"
            )
    bits = {entry["file"]: entry["bits"] for entry in about["parameters"]}
    channels, height, width = source["shape"]
    filters, rows, columns = output["shape"]
    return {
        "InChannels": channels,
        "InHeight": height,
        "InWidth": width,
        "OutHeight": rows,
        "OutWidth": columns,
        "Filters": filters,
        "KernelHeight": geometry["kernel"][0],
        "KernelWidth": geometry["kernel"][1],
        "StrideDown": geometry["stride"][0],
        "StrideRight": geometry["stride"][1],
        "PadTop": geometry["padding"][0],
        "PadLeft": geometry["padding"][1],
        "InBits": source["bits"],
        "OutBits": output["bits"],
        "WeightBits": bits["weights.mem"],
        "PreBits": geometry["requantized_bits"],
        "ZeroCode": source["zero_code"],
        "Low": geometry["low"],
        "High": geometry["high"],
        "HasTable": int("table.mem" in bits),
    }


def build_simulation(design: Path, parameters: dict[str, int], work: Path) -> Path:
    """Compile design and bench with Verilator; a second build in the same folder is quicker.

    Args:
        design: The SystemVerilog under test.
        parameters: Of ``bench``.
        work: Folder of the C++ model; made when missing.

    Returns:
        The executable.

    Raises:
        ToolError: Verilator or the compiler is missing or refuses the sources.
    """
    work.mkdir(parents=True, exist_ok=True)
    verilator = find_verilator()
    arguments = [
        *("--cc", "--exe", "--main", "--timing", "-O3", "--top-module", "bench"),
        # Unset registers start random: a missing reset shows.
        *("--x-assign", "unique", "--x-initial", "unique"),
        *("-Wno-fatal", "-Mdir", "model", "-o", "simulation", "--output-split", "0"),
        *("-CFLAGS", "-std=c++20 -fcoroutines"),
        *(f"-G{name}={value}" for name, value in parameters.items()),
        *(str(path.resolve()) for path in (design, HERE / "bench.sv")),
    ]
    done = verilator.run(arguments, work)
    if done.returncode == 0:
        for library in (work / "model").glob("verilated*.o"):
            library.touch()  # Verilator's own: only the makefile above it is new
        make = ["make", "-j2", "-C", "model", "-f", "Vbench.mk"]
        # That library counts little here and takes long to optimise.
        settings = [*verilator.make_settings(optimise=False), "OPT_GLOBAL=-O0"]
        done = run_tool([*make, *settings], work, verilator.environment())
    if done.returncode:
        raise ToolError(f"{design} cannot be built: {_last(done.stdout)}")
    return work / "model" / "simulation"


def simulate(build: Path, node: str, dump: Path, design: Path) -> Path:
    """Run the design on the vectors of one node.

    Args:
        build: A build folder with vectors.
        node: Name of a convolution.
        dump: Folder for the answers.
        design: The SystemVerilog under test.

    Returns:
        The folder ``dump/<node>`` with ``output.mem`` and ``accumulator.mem``.

    Raises:
        NibbleflowError: The vectors or a tool are missing, or the simulation fails.
    """
    vectors, about = find_vectors(build, node)
    work = build / "sim" / f"foreign_rtl_{find_verilator().version}"
    executable = build_simulation(design, parameters_of(about), work)
    run = work / "run"
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir()
    for path in vectors.glob("*.mem"):
        if path.name not in ANSWERS:  # the design must find them itself
            shutil.copyfile(path, run / path.name)
    done = run_tool(
        [str(executable), "+verilator+rand+reset+2"], run, find_verilator().environment()
    )
    if done.returncode or not all((run / name).is_file() for name in ANSWERS):
        raise ToolError(f"the simulation of '{node}' failed: {_last(done.stdout)}")
    target = dump / vectors.name
    target.mkdir(parents=True, exist_ok=True)
    for name in ANSWERS:
        shutil.copyfile(run / name, target / name)
    return target


def _last(text: str) -> str:
    return " | ".join(text.strip().splitlines()[-FATAL_LINES:])


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Simulate plain_conv.sv on golden vectors.")
    parser.add_argument("build", type=Path, help="build folder with vectors")
    parser.add_argument("node", help="name of a convolution")
    parser.add_argument("dump", type=Path, help="folder for the answers")
    parser.add_argument("--design", type=Path, default=HERE / "plain_conv.sv")
    given = parser.parse_args()
    try:
        print(simulate(given.build, given.node, given.dump, given.design))
    except NibbleflowError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
