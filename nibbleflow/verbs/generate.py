# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow generate``: the network in SystemVerilog and in HLS C++."""

import re
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from hls import (
    emit_conv_hls,
    emit_network,
    write_network_vectors,
    write_project,
)
from hls import write_network as write_hls_network
from hw.conv import emit_conv, rtl_sources
from hw.cores import tap_macs
from nibbleflow.folders import BuildFolder, whole_folder
from nibbleflow.foldings import Aim, plan_schedule
from nibbleflow.networkfiles import write_network
from nibbleflow.nodes import choose_convs
from nibbleflow.pictures import load_frames
from nibbleflow.plans import network_plan
from nibbleflow.progress import progress_bar
from nibbleflow.result import Result
from nibbleflow.vivadofiles import write_vivado
from quant.bundle import Bundle, load_bundle
from quant.bundle.names import unique_stems
from quant.errors import InputFileError
from quant.graph import QGraph
from quant.nodes import Conv
from quant.schedule import Schedule
from reports.hardware import network_estimate
from reports.resourcetable import resource_tables, resource_values
from reports.traffic import TrafficFigures, traffic_parts, traffic_values
from sim.golden import GoldenModel
from sim.host import input_codes


def generate(
    build: str | Path,
    *,
    rtl: bool = False,
    hls: bool = False,
    nodes: str | None = None,
    fps: float | None = None,
    board: str | None = None,
    clock_mhz: float | None = None,
    max_macs: int | None = None,
    core: str | None = None,
    stream_weights: str | None = None,
    force: bool = False,
) -> Result:
    """Write hardware sources: the whole network in RTL and in HLS C++.

    Args:
        build: A build folder.
        rtl: Only SystemVerilog.
        hls: Only HLS C++ (neither: both).
        nodes: ``all-convs``, or names joined by commas: these convolutions one by one.
        fps: Frames per second to fold the network for.
        board: Board whose clock and ultra RAM it is planned with.
        clock_mhz: Planned clock.
        max_macs: Multiply-accumulates per cycle to fold the network for.
        core: What multiplies: a core's name, or ``auto``; ``plain_lut`` when left out.
        stream_weights: Layers, joined by commas, whose weights come from outside (RTL); HLS C++
            keeps them on the chip.
        force: Whether existing sources may be replaced.

    Returns:
        ``values`` has ``files``, relative to the build folder; with the whole network in RTL also
        ``resources``, estimated, and with weights from outside ``external``.

    Raises:
        NibbleflowError: The build, a name or a folding is wrong, or hls4ml is missing.
    """
    folder = BuildFolder.existing(build)
    bundle = load_bundle(folder.bundle)
    graph = bundle.graph
    chosen = choose_convs(graph, nodes or "all-convs")
    aim = Aim(fps, board, clock_mhz, max_macs, core, stream_weights)
    both = rtl == hls
    whole = nodes is None
    if nodes is not None and stream_weights is not None:
        raise InputFileError(
            "--stream-weights is for the whole network, whose top has the streams; leave it or "
            "--nodes out"
        )
    plan = network_plan(folder, graph, aim, replace_saved=True) if whole else None
    schedule = plan_schedule(graph, aim) if plan is None else plan.schedule
    written: list[Path] = []
    tables: tuple[RenderableType, ...] = ()
    values: dict[str, Any] = {"digest": graph.digest}
    if both or rtl:
        with whole_folder(folder.rtl, force=force) as target:
            if plan is not None:
                cycles = plan.cycles.interval_cycles
                project = write_network(graph, schedule, plan.ultra_filled, cycles, target)
                write_vivado(project, plan.device, target)
                estimate = network_estimate(
                    graph, schedule, ultra_initial_contents=plan.ultra_filled
                )
                figures = TrafficFigures(estimate.traffic, cycles, schedule.clock_hz, plan.device)
                tables = (
                    *resource_tables(estimate, plan.device),
                    *traffic_parts(figures),
                )
                values["resources"] = resource_values(estimate)
                if estimate.traffic.weights:
                    values["external"] = traffic_values(figures)
            else:
                _write_rtl(graph, chosen, schedule, target)
        written += _files(folder.rtl)
    if both or hls:
        with whole_folder(folder.hls, force=force) as target:
            if whole:
                kept = _write_hls_network(folder, bundle, schedule, target)
                if kept:
                    tables += (Text(f"HLS C++ keeps on the chip: weights of {', '.join(kept)}"),)
            else:
                _write_hls(graph, chosen, schedule, target)
        written += _files(folder.hls)
    files = [str(p.relative_to(folder.path)) for p in written]
    table = Table(title=f"{len(files):,} files in {folder.path}", box=None)
    for column in ("node", "core", "PE", "SIMD", "MACs per cycle"):
        table.add_column(column)
    for node in chosen:
        folding = schedule.folding[node.name]
        macs = str(tap_macs(folding.core, folding.pe, folding.simd))
        table.add_row(node.name, folding.core, str(folding.pe), str(folding.simd), macs)
    return Result("generate", {"files": files, **values}, (table, *tables))


def _write_rtl(graph: QGraph, nodes: tuple[Conv, ...], schedule: Schedule, target: Path) -> None:
    cells = target / "cells"
    cells.mkdir()
    for source in rtl_sources():
        (cells / source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    stems = unique_stems([n.name for n in graph.nodes])
    for node in nodes:
        stem = stems[node.name]
        texts = emit_conv(
            node,
            graph.formats[node.source],
            graph.shapes[node.source],
            schedule.folding[node.name],
            f"nf_{stem}",
        )
        (target / stem).mkdir()
        for name, text in texts.items():
            (target / stem / name).write_text(text, encoding="utf-8")


def _write_hls(graph: QGraph, nodes: tuple[Conv, ...], schedule: Schedule, target: Path) -> None:
    with progress_bar("writing HLS projects", len(nodes)) as advance:
        for node in nodes:
            project = emit_conv_hls(
                node,
                graph.formats[node.source],
                graph.shapes[node.source],
                schedule.folding[node.name],
                graph_digest=graph.digest,
            )
            write_project(project, target / re.sub(r"^nf_", "", project.name))
            advance(1)


def _write_hls_network(
    folder: BuildFolder, bundle: Bundle, schedule: Schedule, target: Path
) -> tuple[str, ...]:
    """Write the network's project with one kept frame and its golden outputs as vectors.

    Returns:
        Layers whose weights the plan brings from outside; they are in the project.
    """
    graph, fmt = bundle.graph, bundle.graph.input.output
    network = emit_network(graph, schedule)
    target.rmdir()
    write_hls_network(network, target)
    frame = load_frames(folder.frames)[0]
    codes = input_codes(frame, bundle.host, fmt.scale, fmt.zero_point)[None]
    golden = GoldenModel(graph).run(codes).tensors
    expected = [(golden[n.name], graph.formats[n.name].bits) for n in graph.outputs]
    for vectors in sorted(target.glob("*/tb_data")):
        write_network_vectors(vectors, (codes, fmt.bits), expected)
    return network.kept_weights


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())
