# SPDX-License-Identifier: Apache-2.0
"""Imports a torch network as a float graph, and proves the import on one recorded run."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from quant.errors import UnsupportedLayerError
from quant.floatgraph import FloatGraph
from quant.hostspec import HostSpec
from quant.ptq.analysis import Analysis, analyse
from quant.ptq.check import CheckReport, report_of
from quant.ptq.executor import FloatExecutor
from quant.ptq.trace import sample_positions
from quant.zoo.loaded import LoadedModel

# Fusing batch normalisation reorders float32 sums; a wrong import is off by far more.
RELATIVE_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Imported:
    """A network as the rest of the program reads it.

    Attributes:
        graph: Fused float graph up to the head convolutions; quantizable where ``check`` found
            nothing unsupported.
        host: Host spec with the names of the output tensors per scale.
        check: What was found.
    """

    graph: FloatGraph
    host: HostSpec
    check: CheckReport


def import_model(
    loaded: LoadedModel, outputs: tuple[str, ...] | None = None, *, in_float: bool = False
) -> Imported:
    """Import a network.

    Args:
        loaded: Network and host spec.
        outputs: Operations or modules at which the graph shall end; found by itself when ``None``.
        in_float: Whether operations may remain that only the float network can run.

    Raises:
        UnsupportedLayerError: Something in the network is not supported; the message names the
            first such operation and how to go on.
    """
    analysis = analyse(loaded, outputs)
    unsupported = analysis.blocks_float if in_float else analysis.cut.unsupported
    if unsupported:
        rest = len(unsupported) - 1
        more = f" ({rest} more; 'nibbleflow check' lists them)" if rest else ""
        raise UnsupportedLayerError(unsupported[0].message + more)
    if analysis.graph is None:
        raise UnsupportedLayerError(f"'{loaded.name}' has no operation before its outputs")
    _prove(analysis, analysis.graph)
    host = replace(loaded.host, outputs=analysis.scales)
    return Imported(analysis.graph, host, report_of(loaded.name, analysis))


def _prove(analysis: Analysis, graph: FloatGraph) -> None:
    """Compare every tensor of the graph with the module's own, at sampled positions.

    Raises:
        UnsupportedLayerError: A tensor differs: the module does something that a recorded call
            does not show, such as a hook.
    """
    # A fused operation holds the last of the tensors that went into it.
    value_of = {
        analysis.renamed[name]: value
        for name, value in analysis.translation.value_of.items()
        if name in analysis.renamed
    }

    def visit(name: str, tensor: torch.Tensor) -> None:
        wanted = analysis.trace.values[value_of[name]].sample
        flat = tensor.reshape(-1)
        found = flat[torch.from_numpy(sample_positions(flat.numel()))].double().numpy()
        if not np.isfinite(wanted).all():
            raise UnsupportedLayerError(
                f"'{name}' is not finite on a noise image; check the weights of the model file"
            )
        error = float(np.abs(found - wanted).max())
        limit = RELATIVE_TOLERANCE * float(np.abs(wanted).max()) + 1e-6
        if error > limit:
            raise UnsupportedLayerError(
                f"'{name}' differs from the module by {error:.3g}, limit {limit:.3g}; forward does "
                "something that its torch calls do not show; remove hooks and custom kernels"
            )

    FloatExecutor(graph).run(analysis.trace.example, visit)
