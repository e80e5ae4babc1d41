# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow export``: the bundle's tensors as ``$readmemh`` files and C headers."""

from pathlib import Path

from rich.table import Table

from nibbleflow.folders import BuildFolder
from nibbleflow.result import Result
from quant.bundle import export_c, export_mem, load_bundle


def export(build: str | Path, *, mem: bool = False, c: bool = False, force: bool = False) -> Result:
    """Write every stored tensor of a build for readers that know no safetensors.

    Args:
        build: A build folder.
        mem: Only ``$readmemh`` files, one element per line, into ``BUILD/export/mem``.
        c: Only C headers with packed arrays, into ``BUILD/export/c`` (neither: both).
        force: Whether existing files may be replaced.

    Returns:
        ``values`` has ``files``, relative to the build folder.

    Raises:
        NibbleflowError: The build cannot be read, or files exist without ``force``.
    """
    folder = BuildFolder.existing(build)
    graph = load_bundle(folder.bundle).graph
    written: list[Path] = []
    table = Table(title=f"tensors of {graph.name}", box=None)
    for column in ("folder", "files", "KiB"):
        table.add_column(column)
    for wanted, name, write in ((mem, "mem", export_mem), (c, "c", export_c)):
        if mem != c and not wanted:
            continue
        files = write(graph, folder.export / name, force=force)
        size = sum(f.stat().st_size for f in files) / 1024
        table.add_row(str(folder.export / name), f"{len(files):,}", f"{size:,.0f}")
        written += files
    names = [str(f.relative_to(folder.path)) for f in written]
    return Result("export", {"files": names, "digest": graph.digest}, (table,))
