# SPDX-License-Identifier: Apache-2.0
"""Quantize: calibrate, choose formats, lower, measure."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from quant.floatgraph import FloatConv, FloatGraph, FloatLinear
from quant.formats import TensorFormat
from quant.graph import QGraph
from quant.hostspec import HostSpec
from quant.memory import memory_summary, weight_layers
from quant.nodes import Conv, Linear, Output
from quant.ptq.calibrate import calibrate
from quant.ptq.choose import choose_codebooks
from quant.ptq.correct import float_moments, match_moments
from quant.ptq.executor import FloatExecutor
from quant.ptq.formats import owner_steps, plan_formats, row_stops_of
from quant.ptq.lower import Lowering, dead_filters, decibels, edge_names
from quant.ptq.lowered import visit_lowered
from quant.ptq.observers import RealRange, uniform_grid
from quant.ptq.recipes.bitbudget import with_bits
from quant.ptq.recipes.blockchoice import chosen_blocks
from quant.ptq.recipes.blockstages import TaskQ
from quant.ptq.recipes.images import ImageCodes, input_codes
from quant.ptq.recipes.recipe import RTN, Recipe
from quant.ptq.recipes.run import RunOptions, run_recipe
from quant.ptq.recipes.sensitivity import LayerInputs, OutputCosts, sensitivities, sensitivity_note
from quant.ptq.recipes.solution import LayerSolution
from quant.ptq.settings import QuantizeSettings
from quant.ptq.steps import Step, plan_steps
from quant.ptq.study import input_energy, weight_layers_of
from quant.record import LayerRecord, QuantRecord
from quant.weightsonly import LayerWeights, weights_memory

Images = npt.NDArray[np.float32]

SQNR_IMAGES = 2
# Images of the bias correction: their live codes are held at once.
CORRECTION_IMAGES = 16


@dataclass(frozen=True)
class Quantized:
    """Result of a quantization.

    Attributes:
        graph: The integer graph.
        host: The host spec, its outputs named as in the integer graph.
        record: What was measured and decided.
    """

    graph: QGraph
    host: HostSpec
    record: QuantRecord


def quantize(
    graph: FloatGraph,
    host: HostSpec,
    batches: Iterable[Images],
    settings: QuantizeSettings,
    *,
    model: str,
    progress: Callable[[int], None] | None = None,
    recipe: Recipe = RTN,
    options: RunOptions | None = None,
) -> Quantized:
    """Quantize a float network after training.

    Args:
        graph: The float network, fused and cut.
        host: What the host does around it.
        batches: float32 [N, 3, H, W] calibration images, normalised; consumed once, lazily.
        settings: Bits, scheme, observers, overrides.
        model: What the user named, for the record.
        progress: Called with the number of images of each calibrated batch.
        recipe: What compensates rounding; stages have their own correction instead of the
            settings' one.
        options: Where and how long its stages run.

    Returns:
        Graph, host and record.

    Raises:
        QuantizationError: An override matches nothing, there is no image, or a layer does not fit.
    """
    settings = _with_codes(settings, recipe)
    steps = plan_steps(graph)
    settings.check_patterns([s.name for s in owner_steps(steps)])
    row_stops = row_stops_of(steps, host, graph)
    owners = {s.result for s in owner_steps(steps)} - set(row_stops)
    kept: list[Images] = []
    input_format = input_format_of(host, graph.input.shape[0])
    options = RunOptions() if options is None else options
    if options.blocks is not None:  # a wrong name is refused before any image is read
        chosen_blocks(graph, steps, options.blocks)
    store = ImageCodes(input_format, options.folder) if recipe.active else None
    batches = _keeping(batches, kept, store)
    statistics = calibrate(graph, steps, owners, row_stops, batches, progress)
    plan = plan_formats(graph, steps, statistics, settings, input_format, row_stops)
    images = np.concatenate(kept)
    plan = choose_codebooks(graph, steps, plan, statistics, settings, images)
    edges = edge_names(steps, plan.formats)
    weighed = settings.weight_error == "outputs"
    importance = input_energy(graph, images) if weighed else {}
    asked = store is not None or settings.least_ratio is not None
    inputs = LayerInputs(graph, images) if asked else None
    notes: tuple[str, ...] = ()
    if inputs is not None and settings.least_ratio is not None:
        plain = Lowering(graph, steps, plan, statistics, settings, edges, {}, importance).run()
        felt = OutputCosts(inputs, host)
        settings, note = with_bits(settings, felt, bits_beside_weights(plain))
        notes = (note,)
    solved: Mapping[str, LayerSolution] = {}
    if inputs is not None and store is not None:
        found = run_recipe(recipe, graph, steps, host, plan, settings, store, options)
        solved = found.layers
        most = sensitivity_note(sensitivities(steps, settings, OutputCosts(inputs)))
        notes = (*notes, most, *found.notes)
        plan = plan if found.plan is None else found.plan
    lowering = Lowering(graph, steps, plan, statistics, settings, edges, solved, importance)
    lowered = lowering.run()
    if settings.correction == "moments" and store is None:
        codes = input_codes(images, lowered.input.output)
        lowered = match_moments(lowered, float_moments(graph, images), codes)
    sqnr = _measure(graph, lowered, steps, images[:SQNR_IMAGES])
    record = QuantRecord(
        kind="integer",
        model=model,
        source_parameters=graph.source_parameters,
        fused_parameters=_fused_parameters(graph),
        settings={
            **settings.to_json(),
            "calibration_images": statistics.images,
            "recipe": recipe.to_json(),
        },
        notes=(*plan.notes, *lowering.notes, *notes, *fallback_notes(graph, settings, edges)),
        layers=tuple(_layer_records(lowered, lowering.weight_sqnr_db, sqnr)),
        breakpoints=tuple(lowering.breakpoints),
    )
    name_of = {s.result: s.name for s in steps}
    outputs = tuple(tuple(name_of[t] for t in scale) for scale in host.outputs)
    return Quantized(lowered, replace(host, outputs=outputs), record)


def _with_codes(settings: QuantizeSettings, recipe: Recipe) -> QuantizeSettings:
    """Let a recipe choose the activations' codes where the user leaves it open."""
    sparse = any(isinstance(stage, TaskQ) and stage.sparse for stage in recipe.active)
    left_open = settings.codebook == "auto"
    return replace(settings, codebook="two-region") if sparse and left_open else settings


def bits_beside_weights(graph: QGraph) -> int:
    """Return what an integer graph stores beyond a build of its weights alone."""
    layers = [LayerWeights(n.name, n.weights, len(n.bias)) for n in weight_layers(graph)]
    return memory_summary(graph).bits - weights_memory(layers).bits


def fallback_notes(
    graph: FloatGraph, settings: QuantizeSettings, edges: frozenset[str]
) -> tuple[str, ...]:
    """Return what there is to say of layers whose bits the scheme lacks: one note or none."""
    bits = {n: settings.weight_bits_of(n, edge=n in edges) for n in weight_layers_of(graph)}
    note = settings.fallback_note(bits)
    return () if note is None else (note,)


def input_format_of(host: HostSpec, channels: int) -> TensorFormat:
    """Return the 8-bit format of the network's input: for x/255 the byte itself."""
    ends = [
        (byte - mean) / std
        for byte in (0.0, 255.0)
        for mean, std in zip(host.mean, host.std, strict=True)
    ]
    scale, zero = uniform_grid(RealRange(min(0.0, *ends), max(0.0, *ends)), 8)
    return TensorFormat.plain(8, scale, zero, channels)


def _keeping(
    batches: Iterable[Images], kept: list[Images], store: ImageCodes | None
) -> Iterable[Images]:
    """Pass batches through; keep the first few images for measurement, all for a recipe."""
    have = 0
    for batch in batches:
        if have < CORRECTION_IMAGES:
            kept.append(batch[: CORRECTION_IMAGES - have].copy())
            have += len(kept[-1])
        if store is not None:
            store.add(batch)
        yield batch


def _measure(
    graph: FloatGraph, lowered: QGraph, steps: tuple[Step, ...], images: Images
) -> dict[str, float]:
    """Return 10*log10(signal/noise) of every node's integer output against the float network."""
    result_of = {s.name: s.result for s in steps}
    signal: dict[str, float] = {}
    noise: dict[str, float] = {}
    executor = FloatExecutor(graph)
    fmt = lowered.input.output
    for image in np.split(images, len(images)):
        exact: dict[str, torch.Tensor] = {}
        wanted = set(result_of.values())

        def keep(
            name: str,
            tensor: torch.Tensor,
            exact: dict[str, torch.Tensor] = exact,
            wanted: set[str] = wanted,
        ) -> None:
            if name in wanted:
                exact[name] = tensor.clone()

        def compare(name: str, codes: torch.Tensor, exact: dict[str, torch.Tensor] = exact) -> None:
            result = result_of.get(name)
            if result is None:
                return
            truth = exact.pop(result).to(torch.float64).reshape(codes.shape)
            rows = lowered.formats[name]
            decoded = codes.to(torch.float64)
            if rows.codebook is not None:
                book = torch.tensor(rows.codebook, dtype=torch.float64)
                decoded = book[codes.to(torch.int64)]
            scale = torch.from_numpy(rows.scale_per_row)[None, :, None, None]
            zero = torch.from_numpy(rows.zero_point_per_row)[None, :, None, None]
            error = decoded.sub_(zero).mul_(scale).sub_(truth)
            signal[name] = signal.get(name, 0.0) + float(truth.square_().sum())
            noise[name] = noise.get(name, 0.0) + float(error.square_().sum())

        executor.run(image, keep)
        visit_lowered(lowered, input_codes(image, fmt), compare)
    return {name: decibels(signal[name], noise[name]) for name in signal}


def _layer_records(
    graph: QGraph, weight_sqnr_db: dict[str, float], sqnr: dict[str, float]
) -> Iterable[LayerRecord]:
    for node in itertools.filterfalse(lambda n: isinstance(n, Output), graph.nodes):
        layer = node if isinstance(node, Conv | Linear) else None
        yield LayerRecord(
            name=node.name,
            kind=type(node).__name__.lower(),
            weight_bits=layer.weights.bits if layer else 0,
            act_bits=graph.formats[node.name].bits,
            scheme=layer.weights.scheme if layer else "",
            granularity=str(layer.weights.granularity) if layer else "",
            weight_sqnr_db=weight_sqnr_db.get(node.name),
            sqnr_db=sqnr.get(node.name),
            dead_filters=dead_filters(layer.weights) if layer else 0,
        )


def _fused_parameters(graph: FloatGraph) -> int:
    layers = [op for op in graph.ops if isinstance(op, FloatConv | FloatLinear)]
    return sum(int(op.weight.size) + int(op.bias.size) for op in layers)
