# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow check``: what would happen, before any work."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from nibbleflow.result import Result
from quant.ptq.check import check_model
from quant.zoo.resolve import load_model


def check(
    model: str | Path,
    *,
    outputs: Sequence[str] = (),
    arch: str | None = None,
    image_size: Sequence[int] | None = None,
) -> Result:
    """Say what a model consists of, where its integer graph ends, and what is refused.

    Args:
        model: ``demo`` or a ``.safetensors`` file.
        outputs: Tensors where the integer graph shall end; empty finds the head by itself.
        arch: Architecture when no JSON stands beside the weights.
        image_size: (height, width) in pixels.

    Returns:
        ``values`` has ``parameters``, ``macs``, ``operations``, ``outputs``, ``unsupported``; not
        ``ok`` when something is unsupported.

    Raises:
        NibbleflowError: The model cannot be read.
    """
    loaded = load_model(
        str(model), arch=arch, image_size=(image_size[0], image_size[1]) if image_size else None
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
    for ending in report.endings:
        facts.add_row(f"ends at {ending.output}", f"because {ending.reason}")
    parts: list[Table] = [facts]
    if report.unsupported:
        bad = Table("name", "kind", "why", "way out", title="UNSUPPORTED", style="red")
        for item in values["unsupported"]:
            bad.add_row(item["name"], item["kind"], item["reason"], item["way_out"])
        parts.append(bad)
    else:
        facts.add_row("unsupported", "0")
    return Result("check", values, tuple(parts), ok=not report.unsupported)
