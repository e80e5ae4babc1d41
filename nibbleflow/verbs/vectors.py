# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow vectors``: golden files for a user's own hardware."""

from pathlib import Path

from rich.table import Table

from nibbleflow.folders import BuildFolder, whole_folder
from nibbleflow.nodes import choose_nodes
from nibbleflow.pictures import load_frames
from nibbleflow.result import Result
from quant.bundle import load_bundle
from sim.host import input_codes, letterbox, read_image
from sim.vectors import write_vectors


def vectors(
    build: str | Path,
    *,
    image: str | Path | None = None,
    nodes: str = "all-convs",
    channels_per_beat: int = 1,
    force: bool = False,
) -> Result:
    """Write input, output, accumulator and parameters of nodes as .npy and .mem.

    Args:
        build: A build folder.
        image: Image to run; the first calibration frame when not given.
        nodes: ``all-convs``, ``all``, or names joined by commas.
        channels_per_beat: Codes of one pixel in one .mem word, lowest channel lowest.
        force: Whether existing vectors may be replaced.

    Returns:
        ``values`` has ``nodes``: name, folder, shapes.

    Raises:
        NibbleflowError: Build, image or a node name is wrong.
    """
    folder = BuildFolder.existing(build)
    bundle = load_bundle(folder.bundle)
    chosen = choose_nodes(bundle.graph, nodes)
    if image is None:
        canvas = load_frames(folder.frames)[0]
    else:
        canvas, _ = letterbox(read_image(Path(image)), bundle.host)
    fmt = bundle.graph.input.output
    codes = input_codes(canvas, bundle.host, fmt.scale, fmt.zero_point)
    with whole_folder(folder.vectors, force=force) as target:
        rows = write_vectors(bundle.graph, chosen, codes, channels_per_beat, target)
    table = Table(title=f"vectors in {folder.vectors}", box=None)
    for column in ("node", "kind", "input", "output"):
        table.add_column(column)
    for row in rows:
        inputs = ", ".join("x".join(map(str, p["shape"])) for p in row["inputs"])
        table.add_row(row["name"], row["kind"], inputs, "x".join(map(str, row["output"]["shape"])))
    return Result("vectors", {"nodes": rows, "digest": bundle.graph.digest}, (table,))
