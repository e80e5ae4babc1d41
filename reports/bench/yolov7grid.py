# SPDX-License-Identifier: Apache-2.0
"""``python -m reports.bench.yolov7grid --json FILE``: the study's grid on weights of YOLOv7's size.

Seeded weights in the training form: every scheme at every granularity and the mixture, breakpoints
by search. Time and memory do not depend on what the weights are; ratios follow from their shapes.
"""

import argparse
import json
import math
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import numpy.typing as npt

from quant.floatgraph import FloatGraph
from quant.memory import (
    published_overhead_bits,
    published_ratio_of_counts,
    published_weight_bits,
)
from quant.ptq.importer import import_model
from quant.ptq.schemes.setting import Setting, quantize_layer
from quant.ptq.steps import plan_steps
from quant.ptq.study import quantize_network, weight_layers_of
from quant.ptq.weightquant import STORED_SCHEME, Rounding
from quant.weights import Granularity
from quant.weightsonly import weights_memory
from quant.zoo.loaded import LoadedModel
from quant.zoo.resolve import load_model
from reports.bench.granularity import SCHEMES
from reports.bench.record import Row
from reports.bench.schemes import GRANULARITIES

MODEL, SEED = "arch:yolov7", 1
HEAD_BITS = 8
# As printed, by scheme and granularity; of other pairs no figure is known.
PRINTED = {
    ("affine", "c-shape"): 3.93,
    ("pwlq", "c-shape"): 3.88,
    ("affine", "mixture"): 3.92,
    ("pwlq", "mixture"): 3.86,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every pair and write its rows."""
    parser = argparse.ArgumentParser(description="The study's grid at YOLOv7's size.")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args(arguments)
    rows = grid_rows(given.model)
    given.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")
    return 0


def grid_rows(model: str) -> list[Row]:
    """Return one row per scheme and granularity."""
    loaded = load_model(model, seed=SEED)
    trained = trained_counts(loaded)
    graph = import_model(loaded, in_float=True).graph
    rows = []
    for scheme, bits in SCHEMES.items():
        for granularity in GRANULARITIES:
            setting = Setting(Rounding(scheme, bits, breakpoint_method="search"), granularity)
            wall, cpu = perf_counter(), process_time()
            found = quantize_network(graph, setting)
            wall, cpu = perf_counter() - wall, process_time() - cpu
            eight = Setting(Rounding("affine", HEAD_BITS), granularity)
            wider = {name: quantize_layer(w, eight).weights for name, w in head_of(graph).items()}
            layers = [
                replace(layer, weights=wider.get(layer.name, layer.weights))
                for layer in found.layers
            ]
            stored = STORED_SCHEME[scheme]
            rows.append(
                {
                    "scheme": scheme,
                    "stored_bits": bits,
                    "granularity": granularity,
                    "weights": sum(layer.weights.codes.size for layer in layers),
                    "groups": sum(layer.weights.groups for layer in layers),
                    "trained_weights": trained.weights,
                    "trained_groups": trained.groups[granularity],
                    "published_ratio": published_ratio_of_counts(
                        trained.weights,
                        trained.groups[granularity],
                        published_weight_bits(stored, bits),
                        published_overhead_bits(stored, bits) or 0,
                        trained.others,
                    ),
                    "printed_ratio": PRINTED.get((scheme, granularity)),
                    "honest_ratio": found.memory.honest_ratio,
                    "honest_ratio_8_bit_head": weights_memory(layers).honest_ratio,
                    "seconds": round(wall, 2),
                    "cpu_seconds": round(cpu, 2),
                    "peak_mib": peak_mib(),
                }
            )
    return rows


@dataclass(frozen=True)
class Trained:
    """Counts of the network as trained, before anything is fused.

    Attributes:
        weights: Of all convolutions.
        groups: Per granularity; of a mixture with the finer of F- and C-shape in every layer.
        others: All other parameters.
    """

    weights: int
    groups: dict[str, int]
    others: int


def trained_counts(loaded: LoadedModel) -> Trained:
    """Return the counts of a network with its batch normalisation and branches."""
    named = dict(loaded.module.named_parameters())
    kernels = [p.shape for n, p in named.items() if p.ndim == 4 and n.endswith("weight")]
    shapes = [(s[0], s[1], s[2], s[3]) for s in kernels]
    weights = sum(math.prod(shape) for shape in shapes)
    groups = {str(g): sum(math.prod(g.group_shape(shape)) for shape in shapes) for g in Granularity}
    groups["mixture"] = sum(
        max(math.prod(g.group_shape(shape)) for g in (Granularity.F_SHAPE, Granularity.C_SHAPE))
        for shape in shapes
    )
    return Trained(weights, groups, sum(p.numel() for p in named.values()) - weights)


def head_of(graph: FloatGraph) -> dict[str, npt.NDArray[np.float32]]:
    """Return the weights of the layers that make the outputs, by name."""
    ends = {step.name for step in plan_steps(graph) if step.is_output}
    return {name: w for name, w in weight_layers_of(graph).items() if name in ends}


def peak_mib() -> float:
    """Return the most memory that this process has held so far."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


if __name__ == "__main__":
    sys.exit(main())
