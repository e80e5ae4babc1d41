# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow export``: tensors as ``$readmemh`` files and C headers, the network as ONNX."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from rich.table import Table

from nibbleflow.folders import BuildFolder
from nibbleflow.plans import kept_plan
from nibbleflow.result import Result
from quant.bundle import Bundle, export_c, export_mem, load_bundle
from quant.bundle.folder import write_folder
from quant.errors import ToolError
from quant.floatstore import load_float

MODEL_FILE = "model.onnx"


def export(
    build: str | Path,
    *,
    mem: bool = False,
    c: bool = False,
    onnx: bool = False,
    qonnx: bool = False,
    force: bool = False,
) -> Result:
    """Write a build for readers that know no safetensors.

    Without any choice ``.mem`` files and C headers are written.

    Args:
        build: A build folder.
        mem: ``$readmemh`` files, one element per line, into ``BUILD/export/mem``.
        c: C headers with packed arrays, into ``BUILD/export/c``.
        onnx: The float network with the figures of its nodes in ``metadata_props``, into
            ``BUILD/export/onnx/model.onnx``, for viewers.
        qonnx: The integer graph as executable QONNX, into ``BUILD/export/qonnx/model.onnx``.
        force: Whether existing files may be replaced.

    Returns:
        ``values`` has ``files``, relative to the build folder.

    Raises:
        NibbleflowError: The build cannot be read, files exist without ``force``, ONNX is not
            installed, or QONNX could not compute the same integers.
    """
    folder = BuildFolder.existing(build)
    bundle = load_bundle(folder.bundle)
    graph = bundle.graph
    writers: dict[str, tuple[bool, Callable[[Path], tuple[Path, ...]]]] = {
        "mem": (mem, lambda path: export_mem(graph, path, force=force)),
        "c": (c, lambda path: export_c(graph, path, force=force)),
        "onnx": (onnx, partial(_write_model, folder, bundle, "onnx", force)),
        "qonnx": (qonnx, partial(_write_model, folder, bundle, "qonnx", force)),
    }
    chosen = [name for name, (wanted, _) in writers.items() if wanted] or ["mem", "c"]
    written: list[Path] = []
    table = Table(title=f"exports of {graph.name}", box=None)
    for column in ("folder", "files", "KiB"):
        table.add_column(column)
    for name in chosen:
        files = writers[name][1](folder.export / name)
        size = sum(f.stat().st_size for f in files) / 1024
        table.add_row(str(folder.export / name), f"{len(files):,}", f"{size:,.0f}")
        written += files
    names = [str(f.relative_to(folder.path)) for f in written]
    return Result("export", {"files": names, "digest": graph.digest}, (table,))


def _write_model(
    folder: BuildFolder, bundle: Bundle, kind: Literal["onnx", "qonnx"], force: bool, path: Path
) -> tuple[Path, ...]:
    """Write one ONNX model with the figures of the build; cycles where it has a plan."""
    try:
        from reports.export import float_model, integer_model, model_figures, node_figures
        from reports.export.builder import model_bytes
    except ModuleNotFoundError as error:
        raise ToolError(
            f"export --{kind} needs {error.name}; run pip install -e '.[reports]' in "
            "nibbleflow's folder"
        ) from None
    from reports.summary import summarise

    plan = kept_plan(folder, bundle.graph)
    summary = summarise(bundle, plan.schedule if plan else None)
    cycles = plan.cycles if plan else None
    figures = node_figures(summary, cycles), model_figures(summary, cycles)
    if kind == "onnx":
        model = float_model(load_float(folder.floats)[0], *figures)
    else:
        model = integer_model(bundle.graph, *figures)
    return write_folder(path, [(MODEL_FILE, model_bytes(model))], suffixes=(".onnx",), force=force)
