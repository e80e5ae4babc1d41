# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow study``: schemes and granularities on a model's weights, activations in float."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, get_args

from nibbleflow.accuracy import box_accuracy, class_accuracy
from nibbleflow.engines import float_graph_engine
from nibbleflow.folders import write_whole
from nibbleflow.progress import progress_bar
from nibbleflow.result import Result
from nibbleflow.weightsonly import energy_of
from quant.errors import InputFileError
from quant.floatgraph import FloatGraph
from quant.hostspec import HostSpec
from quant.ptq.importer import import_model
from quant.ptq.schemes.breakpoints import Method
from quant.ptq.schemes.setting import Setting
from quant.ptq.schemes.uniform import Clip
from quant.ptq.study import quantize_network, weight_layers_of, with_weights
from quant.ptq.weightquant import FORMS, SCHEME_BITS, Rounding, SchemeName
from quant.weights import Granularity
from quant.zoo.resolve import load_model
from reports.studytable import core_values, study_table
from sim.host import read_dataset

SCHEMES = ("affine", "symmetric", "pwlq")
GRANULARITIES = (*(str(g) for g in Granularity), "mixture")
BOX_KEYS = ("map", "map50", "precision", "recall")
CLASS_KEYS = ("top1", "top5")


def study(
    model: str | Path,
    *,
    schemes: Sequence[str] = SCHEMES,
    granularities: Sequence[str] = GRANULARITIES,
    bits: int = 4,
    edge_bits: int | None = None,
    weight_clip: str = "minmax",
    breakpoint_method: str = "search",
    breakpoints: int = 1,
    multiplier_bits: int | None = None,
    stored: bool = False,
    calib: Sequence[str | Path] = (),
    data: str | Path | None = None,
    images: str | Path | None = None,
    labels: str | Path | None = None,
    limit: int | None = None,
    out: str | Path | None = None,
    arch: str | None = None,
    image_size: Sequence[int] | None = None,
    decode: str | None = None,
    seed: int | None = None,
) -> Result:
    """Quantize only the weights of a model in every wanted way, and compare.

    Args:
        model: As for ``quantize``; a network that runs in float only will do.
        schemes: Names, each perhaps with its stored bits: ``pwlq:4``. Without them a scheme stores
            ``bits``, PWLQ one more: regions of ``bits`` bits, as the paper counts.
        granularities: The five, ``mixture`` (least error per layer), ``mixture-bits`` and
            ``mixture-hardware`` (error against stored bits, against multiplier hardware).
        bits: Bits of a weight, 2 to 8.
        edge_bits: Affine bits of the first convolution and the head; like the rest without it.
        weight_clip: ``minmax``, or ``mse`` for the range of least squared error.
        breakpoint_method: ``search``, ``gaussian`` or ``laplacian``.
        breakpoints: Breakpoints of PWLQ, 1 to 3.
        multiplier_bits: Width of the group multipliers of the stored integers.
        stored: Whether accuracy is that of the stored integers instead of real levels per group.
        calib: Folders of images: errors count with the energy of the inputs that weights meet.
        data: COCO ``instances`` file; without it there is no accuracy.
        images: Folder of its images.
        labels: JSON of a classifier's images instead of ``data``.
        limit: Only the first so many images.
        out: JSON file that is written after every row; rows in it that were made with the same
            options are kept, so that an interrupted study goes on.
        arch: As for ``quantize``.
        image_size: As for ``quantize``.
        decode: As for ``quantize``.
        seed: As for ``quantize``.

    Returns:
        ``values`` has ``rows``: ``scheme``, ``bits``, ``granularity``, ``groups``,
        ``published_ratio``, ``honest_ratio``, ``sqnr_db``, ``stored_sqnr_db``, ``cores_a4`` and
        ``cores_a8`` (layers by packed core that stays possible with activations of so many bits),
        ``mac_per_dsp_a4`` and ``mac_per_dsp_a8`` (products per DSP block with the densest of them),
        times, and the accuracy; ``float``, the accuracy to compare with; ``options``.

    Raises:
        NibbleflowError: An option is out of range, or a model or an image cannot be read.
    """
    clip = _choice("--weight-clip", weight_clip, get_args(Clip))
    method = _choice("--breakpoint-method", breakpoint_method, get_args(Method))
    settings = [
        Setting(
            Rounding(
                scheme,
                stored_bits,
                clip=clip,
                breakpoint_method=method,
                breakpoints=breakpoints if scheme == "pwlq" else 1,
                multiplier_bits=multiplier_bits,
            ),
            granularity,
        )
        for scheme, stored_bits in (_scheme(text, bits, breakpoints) for text in schemes)
        for granularity in granularities
    ]
    if limit is not None and limit < 1:
        raise InputFileError(f"--limit {limit} must be at least 1")
    if not settings:
        raise InputFileError("a study needs at least one scheme and one granularity")
    size = None if image_size is None else (image_size[0], image_size[1])
    loaded = load_model(str(model), arch=arch, image_size=size, decode=decode, seed=seed)
    imported = import_model(loaded, in_float=True)
    graph, host = imported.graph, imported.host
    judge = _Judge(host, data, images, labels, limit)
    importance = energy_of(graph, host, tuple(calib), None) if calib else None
    options = {
        "edge_bits": edge_bits,
        "weight_clip": clip,
        "breakpoint_method": method,
        "breakpoints": breakpoints,
        "multiplier_bits": multiplier_bits,
        "stored": stored,
        "calib": [str(c) for c in calib],
        "accuracy": judge.source,
    }
    values: dict[str, Any] = {
        "model": str(model),
        "weights": sum(w.size for w in weight_layers_of(graph).values()),
        "options": options,
    }
    known = {} if out is None else _earlier(Path(out), values)
    values |= {"float": known.get("float") or judge.accuracy(graph), "rows": []}
    rows = {_key_of(row): row for row in known.get("rows", [])}
    total = values["weights"] * len(settings)
    with progress_bar("rounding weights", total) as advance:
        for setting in settings:
            rounding = setting.rounding
            key = rounding.scheme, rounding.bits, setting.granularity
            if key in rows:
                values["rows"].append(rows[key])
                advance(values["weights"])
                continue
            edge = None
            if edge_bits is not None:
                edge = Setting(Rounding("affine", edge_bits, clip), setting.granularity)
            wall, cpu = perf_counter(), process_time()
            found = quantize_network(graph, setting, importance, advance, edge=edge, stored=stored)
            wall, cpu = perf_counter() - wall, process_time() - cpu
            row = {
                "scheme": rounding.scheme,
                "bits": rounding.bits,
                "granularity": setting.granularity,
                "groups": sum(layer.weights.groups for layer in found.layers),
                "published_ratio": found.memory.published_ratio,
                "honest_ratio": found.memory.honest_ratio,
                "sqnr_db": found.sqnr_db,
                "stored_sqnr_db": found.stored_sqnr_db,
                **core_values(graph, found.layers),
                "seconds": wall,
                "cpu_seconds": cpu,
            }
            row |= judge.accuracy(with_weights(graph, found.real)) or {}
            values["rows"].append(row)
            if out is not None:
                write_whole(Path(out), Result("study", values).to_json())
    return Result("study", values, (study_table(values, judge.keys),))


class _Judge:
    """Measures accuracy of float networks on the given images, if any."""

    def __init__(
        self,
        host: HostSpec,
        data: str | Path | None,
        images: str | Path | None,
        labels: str | Path | None,
        limit: int | None,
    ) -> None:
        """Check that the options belong together.

        Raises:
            InputFileError: They do not.
        """
        classifies = host.decode == "classify"
        given, other = (labels, data) if classifies else (data, labels)
        if other is not None or (given is None) != (images is None):
            raise InputFileError(
                f"accuracy of a {'classifier' if classifies else 'detector'} needs --images and "
                f"{'--labels' if classifies else '--data'}, nothing else"
            )
        self.active = given is not None
        self.source = [str(given), str(images), limit] if self.active else None
        self.keys = (CLASS_KEYS if classifies else BOX_KEYS) if self.active else ()
        self._host, self._limit = host, limit
        self._file, self._folder = Path(given or ""), Path(images or "")

    def accuracy(self, graph: FloatGraph) -> dict[str, float] | None:
        """Return the accuracy in percent by key; ``None`` without images."""
        if not self.active:
            return None
        engines = {"network": (float_graph_engine(graph, self._host), self._host)}
        if self._host.decode == "classify":
            found = class_accuracy(self._host, engines, self._file, self._folder, self._limit)
        else:
            dataset = read_dataset(self._file, self._folder)
            found = box_accuracy(dataset, self._host, engines, self._limit)
        return {key: found["network"][key] for key in ("images", *self.keys)}


def _earlier(out: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an interrupted study left, nothing if there is no file.

    Raises:
        InputFileError: The file is of another study.
    """
    if not out.exists():
        return {}
    try:
        found = json.loads(out.read_text(encoding="utf-8"))
        same = all(found[key] == value for key, value in values.items())
        if same:
            return {"float": found["float"], "rows": [r for r in found["rows"] if all(_key_of(r))]}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise InputFileError(
        f"{out} exists and is of another model or other options; remove it or name another --out"
    )


def _key_of(row: Mapping[str, Any]) -> tuple[str, int, str]:
    return row["scheme"], row["bits"], row["granularity"]


def _scheme(text: str, bits: int, breakpoints: int) -> tuple[SchemeName, int]:
    name, mark, stored = text.partition(":")
    scheme: SchemeName = _choice("--schemes", name, get_args(SchemeName))
    if mark and not stored.isdecimal():
        raise InputFileError(f"--schemes '{text}' is not of the form NAME or NAME:BITS")
    if mark:
        return scheme, int(stored)
    if scheme not in FORMS:
        return scheme, bits
    whole = bits + (breakpoints.bit_length() if scheme == "pwlq" else 1)
    most = SCHEME_BITS[scheme][1]
    if whole > most:
        raise InputFileError(
            f"'{scheme}' with regions of {bits} bits stores {whole}; limit {most}; name its stored "
            f"bits: {scheme}:{most}"
        )
    return scheme, whole


def _choice(option: str, value: str, allowed: Sequence[str]) -> Any:  # noqa: ANN401 - a Literal
    if value not in allowed:
        raise InputFileError(f"{option} '{value}' is not available; choose {', '.join(allowed)}")
    return value
