# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow quantize``: float model and calibration images to a build folder."""

import itertools
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from nibbleflow.folders import BuildFolder, recipe_folder, whole_folder
from nibbleflow.pictures import Pictures
from nibbleflow.progress import progress_bar
from nibbleflow.result import Result
from nibbleflow.weightsonly import WeightsTask, quantize_weights_only
from quant.bundle import save_bundle
from quant.errors import InputFileError
from quant.floatstore import save_float
from quant.hostspec import HostSpec
from quant.memory import memory_summary
from quant.ptq.equalize import equalise
from quant.ptq.importer import import_model
from quant.ptq.quantize import Quantized
from quant.ptq.quantize import quantize as quantize_graph
from quant.ptq.recipes.recipe import recipe_of
from quant.ptq.recipes.run import RunOptions
from quant.ptq.settings import QuantizeSettings
from quant.record import LayerRecord, QuantRecord
from quant.zoo.resolve import load_model
from sim.host import normalise

BATCH = 4
EQUALISING_IMAGES = 48
KEPT_FRAMES = 4
WORST_SHOWN = 5


def quantize(
    model: str | Path,
    *,
    output: str | Path,
    calib: Sequence[str | Path] = (),
    weight_bits: int = 4,
    act_bits: int = 8,
    edge_bits: int = 8,
    stem_act_bits: int | None = None,
    output_bits: int = 16,
    scheme: str = "affine",
    granularity: str = "filter",
    breakpoint_method: str = "search",
    breakpoints: int = 1,
    multiplier_bits: int | None = None,
    weights_only: bool = False,
    weight_clip: str = "auto",
    weight_error: str = "weights",
    least_ratio: float | None = None,
    observer: str = "auto",
    percentile: float = 99.99,
    codebook: str = "auto",
    correction: str = "moments",
    recipe: str = "rtn",
    blocks: str | None = None,
    minutes: float | None = None,
    device: str = "cpu",
    layers: Sequence[str] = (),
    outputs: Sequence[str] = (),
    arch: str | None = None,
    image_size: Sequence[int] | None = None,
    decode: str | None = None,
    seed: int | None = None,
    limit: int | None = None,
    force: bool = False,
) -> Result:
    """Quantize a model after training and write a build folder.

    Args:
        model: ``demo``, a weights file, or whatever else ``quant.zoo.resolve.load_model`` reads.
        output: The build folder.
        calib: Folders of unlabelled images, or ``random`` or ``random:N`` alone for seeded random
            images; the demo needs none.
        weight_bits: Stored bits per weight, 2 to 8.
        act_bits: Bits of inner activation codes, 4 to 8.
        edge_bits: Weight bits of the first convolution and the head, 2 to 8.
        stem_act_bits: Bits of the first convolution's output; ``None`` for ``act_bits``.
        output_bits: Bits of the outputs, 8 to 16.
        scheme: ``affine``, ``symmetric``, ``pwlq`` (the paper's form; 5 stored bits are 4-bit
            regions), ``pwlq-code``, ``pwlq-overlap``, ``pwlq16``, ``e2m1``, ``e2m1-spare`` or
            ``codebook``; layers whose bits it does not have are symmetric.
        granularity: ``layer``, ``filter``, ``channel``, ``f-shape``, ``c-shape``, or ``mixture``,
            ``mixture-bits``, ``mixture-hardware``: chosen per layer.
        breakpoint_method: ``search``, ``gaussian`` or ``laplacian``.
        breakpoints: Breakpoints of PWLQ, 1 to 3.
        multiplier_bits: Width of the group multipliers; that of the granularity when absent.
        weights_only: Quantize the weights alone: a build of kind weights, which has an accuracy and
            a size but no integer network. Images then only weigh the errors of the weights.
        weight_clip: ``auto``, ``minmax`` or ``mse``.
        weight_error: What chooses levels and tables: errors of the ``weights`` alone, or weighed
            with the energy of the inputs that they meet (``outputs``); with ``weights_only``,
            images given mean the second. Layerwise stages of a recipe always weigh, with their own
            images.
        least_ratio: Memory-saving ratio (every stored bit, against FP16) that may be given up to:
            layers get more bits, those first whose rounding the outputs feel most per stored bit.
        observer: ``auto``, ``minmax``, ``percentile`` or ``mse``.
        percentile: Share kept by the percentile observer, in percent.
        codebook: ``auto`` (for tensors whose even steps would cost the outputs too much),
            ``always`` (wherever it costs them less), ``two-region`` (as ``auto``, in two regions of
            even steps at 4 bits) or ``never``.
        correction: ``none``, ``mean`` or ``moments``; ``none`` also leaves the channels beside
            depthwise convolutions as uneven as they are.
        recipe: What wins accuracy back: ``rtn`` (round to nearest, and the correction), ``gptq``,
            ``adaround``, ``repapq`` (block by block), ``taskq`` (for detectors), ``distill``,
            ``best``, ``best-long``, or a TOML file of stages. Stages correct by
            themselves. An interrupted run goes on when it is started again.
        blocks: Where blocks end, for recipes that go block by block: names with commas between
            them, or a TOML file; ``None`` finds blocks by structure.
        minutes: Most that the recipe's stages may take; it lowers the number of training steps,
            which the notes name.
        device: Where stages run: ``cpu`` or ``cuda``.
        layers: Other bits by name: ``NAME=8``, ``NAME=w8``, ``NAME=a8``, ``NAME=w8a8``.
        outputs: Tensors where the integer graph shall end; empty finds the head by itself.
        arch: Architecture of weights that do not name theirs.
        image_size: (height, width) in pixels.
        decode: What the outputs mean, where the model does not say.
        seed: Of the weights of an architecture alone.
        limit: Largest number of calibration images.
        force: Whether an existing build may be replaced.

    Returns:
        ``values`` has ``layers`` with bits and SQNR of every node, ``notes`` and the digest.

    Raises:
        NibbleflowError: Anything about the inputs is wrong; nothing is left behind.
    """
    settings = QuantizeSettings.checked(
        weight_bits=weight_bits,
        act_bits=act_bits,
        edge_bits=edge_bits,
        stem_act_bits=stem_act_bits,
        output_bits=output_bits,
        scheme=scheme,
        granularity=granularity,
        breakpoint_method=breakpoint_method,
        breakpoints=breakpoints,
        multiplier_bits=multiplier_bits,
        weight_clip=weight_clip,
        weight_error=weight_error,
        least_ratio=least_ratio,
        observer=observer,
        percentile=percentile,
        codebook=codebook,
        correction=correction,
    ).with_overrides(list(layers))
    chosen = recipe_of(recipe)
    if minutes is not None and not chosen.active:
        raise InputFileError(
            f"--minutes limits a recipe, and '{recipe}' has no stage; leave it out"
        )
    if blocks is not None and not chosen.has_blocks:
        raise InputFileError(
            f"--blocks is for recipes that go block by block, and '{recipe}' does not; leave it "
            "out, or choose repapq or taskq"
        )
    work = recipe_folder(Path(output)) if chosen.active else None
    options = RunOptions(work, device, minutes, progress_bar, blocks)
    if weights_only:
        size = _pair(image_size)
        return quantize_weights_only(
            WeightsTask(
                str(model),
                Path(output),
                settings,
                tuple(calib),
                limit,
                tuple(outputs),
                force,
                chosen,
                options,
            ),
            lambda: load_model(str(model), arch=arch, image_size=size, decode=decode, seed=seed),
        )
    if not calib and str(model) != "demo":
        raise InputFileError(
            f"quantizing {model} needs calibration images; name a folder with --calib, or write "
            "--calib random to do without"
        )
    with whole_folder(Path(output), force=force) as folder:
        build = BuildFolder(folder)
        loaded = load_model(
            str(model), arch=arch, image_size=_pair(image_size), decode=decode, seed=seed
        )
        imported = import_model(loaded, tuple(outputs) or None)
        host = imported.host
        pictures = Pictures(calib, limit, (host.height, host.width))
        graph, equalised = imported.graph, 0
        if settings.correction != "none":
            first = itertools.islice(pictures.canvases(host), EQUALISING_IMAGES)
            graph, equalised = equalise(graph, (normalise(canvas, host) for canvas in first))
        frames: list[npt.NDArray[np.uint8]] = []
        with progress_bar("calibrating", len(pictures)) as advance:
            result = quantize_graph(
                graph,
                host,
                _batches(pictures, host, frames),
                settings,
                model=str(model),
                progress=advance,
                recipe=chosen,
                options=options,
            )
        record = _with_notes(result.record, pictures, equalised)
        save_bundle(result.graph, result.host, record, build.bundle)
        save_float(graph, host, build.floats)
        np.save(build.frames, np.stack(frames), allow_pickle=False)
    if work is not None:  # everything that it kept is in the build
        shutil.rmtree(work)
    summary = memory_summary(result.graph)
    values = {
        "build": str(output),
        "digest": result.graph.digest,
        **record.to_json(),
        "memory": {
            "honest_ratio": summary.honest_ratio,
            "published_ratio": summary.published_ratio,
        },
        "decoded_bits": [result.graph.formats[n.name].decoded_bits for n in result.graph.convs],
    }
    return Result("quantize", values, _tables(replace(result, record=record), str(output)))


def _with_notes(record: QuantRecord, pictures: Pictures, equalised: int) -> QuantRecord:
    """Say in the record what happened before: random images, equalised channels."""
    notes = []
    settings = dict(record.settings)
    if pictures.random_seed is not None:
        settings["calibration"] = f"random, seed {pictures.random_seed}"
        notes.append(
            f"calibrated on {len(pictures)} random images (seed {pictures.random_seed}), not on "
            "photographs: sizes and hardware are real, accuracy is not"
        )
    if equalised:
        settings["equalised_tensors"] = equalised
        notes.append(f"channels equalised in {equalised} tensors beside depthwise convolutions")
    return replace(record, settings=settings, notes=(*notes, *record.notes))


def _batches(
    pictures: Pictures, host: HostSpec, frames: list[npt.NDArray[np.uint8]]
) -> Iterator[npt.NDArray[np.float32]]:
    batch: list[npt.NDArray[np.float32]] = []
    for canvas in pictures.canvases(host):
        if len(frames) < KEPT_FRAMES:
            frames.append(canvas)
        batch.append(normalise(canvas, host))
        if len(batch) == BATCH:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)


def _tables(result: Quantized, output: str) -> tuple[RenderableType, ...]:
    layers = result.record.layers
    bits = Table(title=f"{result.graph.name} -> {output}", box=None)
    bits.add_column("nodes")
    bits.add_column("weight bits")
    bits.add_column("activation bits")
    counted: dict[tuple[int, int], int] = {}
    for layer in layers:
        if layer.weight_bits:
            key = (layer.weight_bits, layer.act_bits)
            counted[key] = counted.get(key, 0) + 1
    for (weight, act), count in sorted(counted.items()):
        bits.add_row(str(count), str(weight), str(act))
    worst = Table(title="lowest SQNR of the outputs", box=None)
    for column in ("node", "kind", "weight bits", "weight dB", "output dB"):
        worst.add_column(column)
    measured = [layer for layer in layers if layer.sqnr_db is not None]
    for layer in sorted(measured, key=_sqnr)[:WORST_SHOWN]:
        worst.add_row(
            layer.name,
            layer.kind,
            str(layer.weight_bits or ""),
            "" if layer.weight_sqnr_db is None else f"{layer.weight_sqnr_db:.1f}",
            f"{layer.sqnr_db:.1f}",
        )
    return bits, worst, *(Text(f"note: {note}") for note in result.record.notes)


def _pair(size: Sequence[int] | None) -> tuple[int, int] | None:
    return None if size is None else (size[0], size[1])


def _sqnr(layer: LayerRecord) -> float:
    return 0.0 if layer.sqnr_db is None else layer.sqnr_db
