# SPDX-License-Identifier: Apache-2.0
"""The priced model: from a cell's parameters to the resources it will take.

Prices are fitted to runs of Yosys ``synth_xilinx -family xcup`` and kept, with their version, in
``coefficients.json`` (``python -m reports.bench.estimatefit`` writes it). Yosys is not Vivado: its
lookup tables are those of one open flow, good for comparing plans with each other.
"""

import json
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

from hw.cell import Cell, Parameter
from hw.estimate.cells import cell_kind, cell_work, memory_kind, price_kind
from hw.estimate.convolution import weight_memories, weight_shape
from hw.estimate.memory import MemoryKind
from hw.estimate.primitives import Resources, total
from hw.estimate.work import FF_FEATURES, LUT_FEATURES, Work

COEFFICIENTS = "coefficients.json"
WEIGHT_PLACES = 32
"""Words of weights from outside that wait at a layer, as ``nf_weight_stream`` has it."""

BASIS = "estimated from Yosys, not Vivado"
"""What every table of estimates says."""


class Prices(NamedTuple):
    """Prices of one kind of cell.

    Attributes:
        lut: Feature and lookup tables per unit of it.
        ff: Feature and flip-flops per unit of it.
    """

    lut: tuple[tuple[str, float], ...]
    ff: tuple[tuple[str, float], ...]


def resources(cell: Cell, *, weights: bool = True) -> Resources:
    """Return the estimated resources of any cell, from its module and parameters alone.

    Memories and DSP blocks follow from shapes, lookup tables and flip-flops from the fit.

    Args:
        cell: The cell.
        weights: Whether a convolution's weight memory is part of it (``weight_resources``).

    Raises:
        PlanError: There is no estimate for its module.
    """
    return module_resources(cell.module, cell.parameters, weights=weights)


def module_resources(
    module: str, parameters: Mapping[str, Parameter], *, weights: bool = True
) -> Resources:
    """Return the estimated resources of an instance, before its memory files are made.

    Args:
        module: Name of the module, as ``Cell.module``.
        parameters: As ``Cell.parameters``; of file names only whether they are empty counts.
        weights: As ``resources``.

    Raises:
        PlanError: There is no estimate for the module.
    """
    found = _priced(cell_kind(module, parameters), cell_work(module, parameters))
    if weights and module == "nf_conv":
        found += conv_weights(parameters)
    return found


def conv_weights(parameters: Mapping[str, Parameter]) -> Resources:
    """Return the estimated resources of the weight memories of a convolution, by their shape.

    Args:
        parameters: As ``Cell.parameters`` of an ``nf_conv``.

    Raises:
        PlanError: The style of memory is not known.
    """
    bits, depth = weight_shape(parameters)
    memories = weight_memories(parameters)
    if parameters["WeightStyle"] == "external":
        return weight_queue(bits, memories)
    return weight_resources(
        bits,
        depth,
        memory_kind(str(parameters["WeightStyle"])),
        load=bool(parameters.get("LoadWeights")),
        memories=memories,
    )


@lru_cache(maxsize=1 << 16)
def weight_queue(bits: int, memories: int = 1) -> Resources:
    """Return the estimated resources of ``nf_weight_stream``: what words from outside wait in.

    Args:
        bits: Bits of a word, a multiple of ``memories``.
        memories: Slices of a word, each of which comes a cycle later than the one before.
    """
    values: dict[str, Parameter] = {"Bits": bits, "Slices": memories, "Places": WEIGHT_PLACES}
    return module_resources("nf_weight_stream", values)


@lru_cache(maxsize=1 << 16)
def weight_resources(
    bits: int, depth: int, kind: MemoryKind, *, load: bool = False, memories: int = 1
) -> Resources:
    """Return the estimated resources of ``nf_rom_cycle``: constants and their address counter.

    Args:
        bits: Bits of a word, a multiple of ``memories``.
        depth: Words.
        kind: What it lies in; ``distributed`` is logic.
        load: Whether its words come through a write port at start.
        memories: Memories side by side that a word is spread over.

    Raises:
        PlanError: The size is not positive.
    """
    values: dict[str, Parameter] = {
        "Bits": bits // memories,
        "Depth": depth,
        "Style": kind,
        "Loadable": int(load),
    }
    return total([module_resources("nf_rom_cycle", values)] * memories)


def _priced(kind: str, work: Work) -> Resources:
    prices = _prices()[price_kind(kind)]
    return Resources(
        lut=round(sum(price * getattr(work, name) for name, price in prices.lut)),
        ff=round(sum(price * getattr(work, name) for name, price in prices.ff)),
        dsp=work.dsp,
        bram18=work.bram18,
        uram=work.uram,
        lutram_luts=work.lutram_luts,
    )


def coefficients_version() -> int:
    """Return the version of the fitted prices."""
    return int(_read()["version"])


# Its control is the same at every width: Yosys counts so many tables and flip-flops, and one
# flip-flop more per register, of all widths that were run.
_COUNTED = {"weight_stream": Prices((("cells", 33),), (("cells", 22), ("data", 1)))}


@cache
def _prices() -> dict[str, Prices]:
    found: dict[str, dict[str, dict[str, float]]] = _read()["kinds"]
    return _COUNTED | {
        kind: Prices(
            tuple((n, v["lut"][n]) for n in LUT_FEATURES if v["lut"].get(n)),
            tuple((n, v["ff"][n]) for n in FF_FEATURES if v["ff"].get(n)),
        )
        for kind, v in found.items()
    }


@cache
def _read() -> dict[str, Any]:
    text = (files("hw.estimate") / COEFFICIENTS).read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
