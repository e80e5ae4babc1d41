# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow check``: what would happen, before any work."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from nibbleflow.result import Result
from quant.hostspec import HostSpec
from quant.ptq.check import check_model
from quant.ptq.draft import Unsupported
from quant.zoo.resolve import load_model


def check(
    model: str | Path,
    *,
    outputs: Sequence[str] = (),
    arch: str | None = None,
    image_size: Sequence[int] | None = None,
    decode: str | None = None,
    seed: int | None = None,
    shapes: bool = False,
) -> Result:
    """Say what a model consists of, where its integer graph ends, and what is refused.

    Args:
        model: As ``quantize`` takes it.
        outputs: Tensors where the integer graph shall end; empty finds the head by itself.
        arch: Architecture of weights that do not name theirs.
        image_size: (height, width) in pixels.
        decode: What the outputs mean, where the model does not say.
        seed: Of the weights of an architecture alone.
        shapes: Whether the terminal also lists the shape of every tensor.

    Returns:
        ``values`` has ``region`` (what the figures are of), ``parameters``, ``macs``,
        ``operations``, ``shapes``, ``outputs``, ``endings``, ``unsupported``; not ``ok`` when
        something is unsupported.

    Raises:
        NibbleflowError: The model cannot be read.
    """
    loaded = load_model(
        str(model),
        arch=arch,
        image_size=(image_size[0], image_size[1]) if image_size else None,
        decode=decode,
        seed=seed,
    )
    report = check_model(loaded, tuple(outputs) or None)
    values = report.to_json()
    facts = Table(title=f"{loaded.name} at {loaded.host.width}x{loaded.host.height}", box=None)
    facts.add_column("fact")
    facts.add_column("value")
    for key, value in values.items():
        if isinstance(value, int | str | float):
            facts.add_row(
                key.replace("_", " "), f"{value:,}" if isinstance(value, int) else str(value)
            )
    kinds = ", ".join(f"{count} {kind}" for kind, count in values["operations"].items())
    facts.add_row("operations", kinds)
    facts.add_row("decoded on the host", _decoded(loaded.host))
    for ending in report.endings:
        shape = report.shapes.get(ending.output)
        size = f"{'x'.join(map(str, shape))}, " if shape else ""
        facts.add_row(f"ends at {ending.output}", f"{size}because {ending.reason}")
    parts: list[Table] = [facts]
    if shapes:
        parts.append(_shapes(report.shapes))
    if report.unsupported:
        facts.add_row("unsupported", str(len(report.unsupported)))
        parts.append(_refused(report.unsupported))
    else:
        facts.add_row("unsupported", "0")
    return Result("check", values, tuple(parts), ok=not report.unsupported)


def _decoded(host: HostSpec) -> str:
    """Return what becomes of the outputs behind the integer graph."""
    classes = f"{len(host.class_names)} classes"
    if host.finds_boxes:
        return f"{host.decode}, {classes}, strides {', '.join(map(str, host.strides))}"
    return f"{host.decode}, {classes}" if host.class_names else host.decode


def _refused(unsupported: Sequence[Unsupported]) -> Table:
    """Return a table with one row per reason, so that a gate in every block is one row."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for item in unsupported:
        rows.setdefault((item.kind, item.reason, item.way_out), []).append(item.name)
    table = Table("name", "kind", "why", "way out", title="UNSUPPORTED", style="red")
    for (kind, reason, way_out), names in rows.items():
        table.add_row(", ".join(names), kind, reason, way_out)
    return table


def _shapes(shapes: dict[str, tuple[int, int, int]]) -> Table:
    table = Table("tensor", "channels", "height", "width", title="shapes", box=None)
    for name, shape in shapes.items():
        table.add_row(name, *map(str, shape))
    return table
