# SPDX-License-Identifier: Apache-2.0
"""Builds of kind weights: only the weights are quantized, activations and biases stay float."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from nibbleflow.folders import BuildFolder, whole_folder
from nibbleflow.pictures import Pictures
from nibbleflow.progress import progress_bar
from nibbleflow.result import Result
from quant.bundle.weights import save_weights
from quant.errors import InputFileError
from quant.floatgraph import FloatGraph
from quant.floatstore import save_float
from quant.hostspec import HostSpec
from quant.ptq.importer import import_model
from quant.ptq.quantize import fallback_notes, input_format_of
from quant.ptq.recipes.bitbudget import with_bits
from quant.ptq.recipes.images import ImageCodes
from quant.ptq.recipes.recipe import Recipe
from quant.ptq.recipes.run import RunOptions, run_recipe
from quant.ptq.recipes.sensitivity import IMAGES as SENSITIVITY_IMAGES
from quant.ptq.recipes.sensitivity import LayerInputs, OutputCosts
from quant.ptq.recipes.solution import Calibrated
from quant.ptq.recipes.weights import save_biases, stored_network
from quant.ptq.settings import QuantizeSettings
from quant.ptq.steps import plan_steps
from quant.ptq.study import (
    ENERGY_IMAGES,
    RoundedNetwork,
    edges_of,
    input_energy,
    quantize_weights_of,
    weight_layers_of,
)
from quant.record import QuantRecord
from quant.weightsonly import WeightsModel
from quant.zoo.loaded import LoadedModel
from sim.host import normalise

# Settings that say something about activations, which stay float here.
ACTIVATION_OPTIONS = (
    "act_bits",
    "stem_act_bits",
    "output_bits",
    "observer",
    "percentile",
    "codebook",
    "correction",
)


@dataclass(frozen=True)
class WeightsTask:
    """What was asked for.

    Attributes:
        model: What the user named.
        output: The build folder.
        settings: Weight bits, scheme, granularity; activations at their defaults.
        calib: Folders of images, perhaps none: the energy of inputs weighs the weights' errors.
        limit: Largest number of these images.
        outputs: Tensors where the network shall end.
        force: Whether an existing build may be replaced.
        recipe: What compensates rounding.
        options: Where and how long its stages run.
    """

    model: str
    output: Path
    settings: QuantizeSettings
    calib: tuple[str | Path, ...]
    limit: int | None
    outputs: tuple[str, ...]
    force: bool
    recipe: Recipe
    options: RunOptions


def quantize_weights_only(task: WeightsTask, load: Callable[[], LoadedModel]) -> Result:
    """Round the weights of a model and write a build of kind weights.

    Args:
        task: What was asked for.
        load: Reads the model.

    Returns:
        ``values`` has ``kind``, ``layers``, and both memory ratios under ``memory``.

    Raises:
        NibbleflowError: An option is about activations, an override matches nothing, or an input
            cannot be read; nothing is left behind.
    """
    _refuse_activations(task.settings)
    if task.settings.weight_error == "outputs" and not task.calib and not task.recipe.active:
        raise InputFileError(
            "--weight-error outputs weighs errors on images; name a folder with --calib"
        )
    with whole_folder(task.output, force=task.force) as folder:
        build = BuildFolder(folder)
        imported = import_model(load(), task.outputs or None, in_float=True)
        graph, host = imported.graph, imported.host
        layers = weight_layers_of(graph)
        task.settings.check_patterns(list(layers))
        calibrated: Calibrated | None = None
        notes: tuple[str, ...] = ()
        if task.settings.least_ratio is not None:
            task, note = _with_bits(graph, host, task)
            notes = (note,)
        if task.recipe.active:
            found, calibrated, images = _calibrated(graph, host, task)
            notes, facts = (*notes, *calibrated.notes), _recipe_facts(task, images)
        else:
            importance = energy_of(graph, host, task.calib, task.limit) if task.calib else None
            with progress_bar("rounding weights", sum(w.size for w in layers.values())) as advance:
                found = quantize_weights_of(graph, task.settings, importance, advance)
            facts = {"weighed_by_input_energy": importance is not None}
        record = QuantRecord(
            kind="weights",
            model=task.model,
            source_parameters=graph.source_parameters,
            fused_parameters=sum(w.size + len(w) for w in layers.values()),
            settings=_weight_settings(task.settings) | facts,
            notes=(*notes, *fallback_notes(graph, task.settings, edges_of(graph))),
            layers=found.records,
            breakpoints=found.breakpoints,
        )
        save_weights(WeightsModel(graph.name, found.layers), host, record, build.bundle)
        save_float(graph, host, build.floats)
        if calibrated is not None:
            save_biases(calibrated, build.biases)
    if task.options.folder is not None:  # everything that it kept is in the build
        shutil.rmtree(task.options.folder)
    memory = {
        "honest_ratio": found.memory.honest_ratio,
        "published_ratio": found.memory.published_ratio,
    }
    values = {"build": str(task.output), **record.to_json(), "memory": memory}
    return Result("quantize", values, _tables(graph.name, task, record, memory, found.sqnr_db))


def _with_bits(graph: FloatGraph, host: HostSpec, task: WeightsTask) -> tuple[WeightsTask, str]:
    """Return the task with the bits that its memory-saving ratio allows, and what to say of it."""
    if not task.calib and task.model != "demo":
        raise InputFileError(
            "--least-ratio measures on images which layers need bits; name a folder with --calib"
        )
    pictures = Pictures(task.calib, SENSITIVITY_IMAGES, (host.height, host.width))
    canvases = [normalise(canvas, host) for canvas in pictures.canvases(host)]
    settings, note = with_bits(
        task.settings, OutputCosts(LayerInputs(graph, np.stack(canvases)), host)
    )
    return replace(task, settings=settings), note


def energy_of(
    graph: FloatGraph, host: HostSpec, calib: tuple[str | Path, ...], limit: int | None
) -> dict[str, npt.NDArray[np.float64]]:
    """Return how much each weight's error counts on the images of some folders.

    Args:
        graph: The float network.
        host: How images become inputs.
        calib: Folders of images, or random ones.
        limit: Largest number of images; 16 without it.
    """
    pictures = Pictures(calib, limit or ENERGY_IMAGES, (host.height, host.width))
    canvases = [normalise(canvas, host) for canvas in pictures.canvases(host)]
    return input_energy(graph, np.stack(canvases))


def _refuse_activations(settings: QuantizeSettings) -> None:
    defaults = {f.name: f.default for f in fields(QuantizeSettings)}
    for name in ACTIVATION_OPTIONS:
        if getattr(settings, name) != defaults[name]:
            raise InputFileError(
                f"--{name.replace('_', '-')} is about activations, which stay float with "
                "--weights-only; leave one of the two out"
            )
    for override in settings.overrides:
        if override.act_bits is not None:
            raise InputFileError(
                f"--layer '{override.pattern}' sets activation bits, which stay float with "
                "--weights-only; leave one of the two out"
            )


def _weight_settings(settings: QuantizeSettings) -> dict[str, object]:
    return {k: v for k, v in settings.to_json().items() if k not in ACTIVATION_OPTIONS}


def _recipe_facts(task: WeightsTask, images: int) -> dict[str, object]:
    return {"recipe": task.recipe.to_json(), "calibration_images": images}


def _calibrated(
    graph: FloatGraph, host: HostSpec, task: WeightsTask
) -> tuple[RoundedNetwork, Calibrated, int]:
    """Run the recipe with float activations; return its weights, itself, and the images read."""
    if not task.calib and task.model != "demo":
        raise InputFileError(
            f"recipe '{task.recipe.name}' needs calibration images; name a folder with --calib"
        )
    pictures = Pictures(task.calib, task.limit, (host.height, host.width))
    store = ImageCodes(input_format_of(host, graph.input.shape[0]), task.options.folder)
    with progress_bar("reading images", len(pictures)) as advance:
        for canvas in pictures.canvases(host):
            store.add(normalise(canvas, host)[None])
            advance(1)
    steps = plan_steps(graph)
    found = run_recipe(task.recipe, graph, steps, host, None, task.settings, store, task.options)
    return stored_network(graph, found), found, len(store)


def _tables(
    name: str,
    task: WeightsTask,
    record: QuantRecord,
    memory: dict[str, float | None],
    sqnr_db: float,
) -> tuple[RenderableType, ...]:
    table = Table(title=f"{name} -> {task.output}, weights only", box=None)
    for column in ("layers", "weight bits", "scheme", "granularity"):
        table.add_column(column)
    counted: dict[tuple[int, str, str], int] = {}
    for layer in record.layers:
        key = (layer.weight_bits, layer.scheme, layer.granularity)
        counted[key] = counted.get(key, 0) + 1
    for (bits, scheme, granularity), count in sorted(counted.items()):
        table.add_row(str(count), str(bits), scheme, granularity)
    published = memory["published_ratio"]
    shown = "no figure" if published is None else f"{published:.3f}x"
    text = (
        f"memory saving {memory['honest_ratio']:.3f}x honest, {shown} as published; "
        f"weights at {sqnr_db:.2f} dB"
    )
    return table, Text(text), *(Text(f"note: {note}") for note in record.notes)
