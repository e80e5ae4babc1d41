# SPDX-License-Identifier: Apache-2.0
"""Writes the project of a whole network: a tree per vendor tool, a Makefile, an estimate."""

from collections.abc import Sequence
from pathlib import Path

from hls.boundedtop import STREAM_HEADER, bounded_top
from hls.makefile import makefile
from hls.model import DEFAULT_PART, Target
from hls.netreadme import network_readme
from hls.network import HlsNetwork
from hls.storage import Backend
from hls.tree import fresh_folder, write_tree


def backends_of(network: HlsNetwork) -> tuple[Backend, ...]:
    """Return the backends that have every memory of the network: Vivado HLS has no ultra RAM."""
    ultra = "ultra" in network.schedule.memory.values()
    return ("Vitis",) if ultra else ("Vitis", "Vivado")


def write_network(
    network: HlsNetwork,
    directory: Path,
    *,
    backends: Sequence[Backend] | None = None,
    part: str = DEFAULT_PART,
) -> Path:
    """Write ``vitis/`` and ``vivado/`` (hls4ml's trees), ``Makefile`` and ``README.md``.

    The folder appears under its final name only when it is complete.

    Args:
        network: What to write.
        directory: Folder to make; it must not exist.
        backends: Whose trees to write, all that can be when absent; the first one's runs the C
            simulation.
        part: The vendor's part name for the scripts.

    Returns:
        ``directory``.

    Raises:
        PlanError: ``directory`` exists, or a memory style does not exist in a backend.
        ToolError: hls4ml is not installed, or changed or dropped a layer.
    """
    backends = backends_of(network) if backends is None else backends
    with fresh_folder(directory) as scratch:
        for backend in backends:
            tree = scratch / backend.lower()
            tree.mkdir()
            write_tree(
                tree,
                network.name,
                (network.input_name, network.input),
                network.layers,
                [layer.name for layer in network.outputs.values()],
                network.files,
                Target(backend, part, network.schedule.clock_hz),
            )
            _add_bounded(tree, network)
        (scratch / "Makefile").write_text(makefile(network.name, backends), encoding="utf-8")
        (scratch / "README.md").write_text(network_readme(network), encoding="utf-8")
    return directory


def _add_bounded(tree: Path, network: HlsNetwork) -> None:
    """Add the simulation with bounded streams to a written tree."""
    written = (tree / "firmware" / f"{network.name}.cpp").read_text(encoding="utf-8")
    (tree / "bounded").mkdir()
    top = bounded_top(written, network.layers)
    (tree / "bounded" / f"{network.name}.cpp").write_text(top, encoding="utf-8")
    header = STREAM_HEADER.read_text(encoding="utf-8")
    (tree / "bounded" / STREAM_HEADER.name).write_text(header, encoding="utf-8")
