# SPDX-License-Identifier: Apache-2.0
"""The folder for users of Vivado beside the generated RTL."""

from pathlib import Path

from hw.devices import Device
from hw.rtl_project import RtlProject
from hw.vivado import vivado_design, vivado_files
from nibbleflow.networkfiles import FILE_LIST

VIVADO = "vivado"


def write_vivado(project: RtlProject, device: Device | None, folder: Path) -> None:
    """Write scripts, constraints, Makefile and host program into ``folder/vivado``.

    Args:
        project: The network in ``folder``.
        device: Board that it was planned for.
        folder: Folder of the top, with its list of sources.

    Raises:
        PlanError: A stream is wider or longer than DMA engines move.
    """
    sources = (folder / FILE_LIST).read_text(encoding="ascii").split()
    files = vivado_files(vivado_design(project, sources, device))
    target = folder / VIVADO
    target.mkdir()
    for name, text in files.items():
        (target / name).write_text(text, encoding="utf-8")
