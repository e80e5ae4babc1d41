# SPDX-License-Identifier: Apache-2.0
"""Loads official checkpoints of the YOLOv5 and YOLOv7 families, without running any of their code.

Source: the checkpoints that ultralytics/yolov5 and WongKinYiu/yolov7 publish: a dict with the
whole network under ``model`` and, while training, its moving average under ``ema``.
"""

import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from quant.errors import InputFileError, NibbleflowError, UnsupportedLayerError
from quant.zoo.checkpoint import load_into
from quant.zoo.described import DescribedModel, Description
from quant.zoo.head import Anchors
from quant.zoo.loaded import LoadedModel
from quant.zoo.module_tree import (
    TreeModule,
    compare_modules,
    plain_value,
    walk_modules,
    walk_tensors,
)
from quant.zoo.pickle_reader import read_pickle
from quant.zoo.pickle_records import Record, StorageRecord, TensorRecord
from quant.zoo.torch_archive import TorchArchive
from quant.zoo.unshuffle import remove_shuffles
from quant.zoo.yolov5 import detector_host

Family = Literal["yolov5", "yolov7"]

HEADS = ("Detect", "IDetect")
MAX_STRIDE = 128
# Modules of descriptions that only the YOLOv7 family has.
_YOLOV7_ONLY = {"MP", "SP", "SPPCSPC", "RepConv", "IDetect"}
_CONVERT = "convert it to safetensors in its own environment"
# What building a network out of an untrue description may raise.
_BUILD_ERRORS = (
    RuntimeError,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
)


@dataclass(frozen=True, eq=False)
class OfficialCheckpoint:
    """What a checkpoint says.

    Attributes:
        family: Says how its outputs are decoded.
        yaml: Its own description: ``depth_multiple``, ``width_multiple``, ``backbone``, ``head``.
        class_names: One name per class.
        strides: Stride of each scale in pixels.
        anchors: Per scale, (width, height) in pixels, as its head has them.
        activation: Class of its activations.
        bn_eps: Epsilon of its batch normalisations.
        tensors: State dict; float32, integers as int64.
        modules: Its module tree by path.
    """

    family: Family
    yaml: dict[str, Any]
    class_names: tuple[str, ...]
    strides: tuple[int, ...]
    anchors: Anchors
    activation: str
    bn_eps: float
    tensors: dict[str, Tensor]
    modules: dict[str, TreeModule]


def load_official(path: Path, image_size: tuple[int, int] | None = None) -> LoadedModel:
    """Load an official checkpoint.

    Args:
        path: A ``.pt`` file.
        image_size: (height, width) in pixels; ``None`` for 640x640.

    Returns:
        The model in eval mode, float32, named like the file.

    Raises:
        InputFileError: The file is missing, damaged, no checkpoint of torch, or wants anything
            but tensors and plain records.
        UnsupportedLayerError: Its network has a part that is not known.
        QuantizationError: The image size is not a multiple of the largest stride.
    """
    checkpoint = read_official(path)
    description = _description(checkpoint, path, image_size)
    _check_fit(checkpoint, description, path)
    module = DescribedModel(description).eval()
    load_into(module, checkpoint.tensors, path)
    try:
        remove_shuffles(module)
    except UnsupportedLayerError as error:
        raise UnsupportedLayerError(f"'{path}': {error}") from None
    module.requires_grad_(False)
    return LoadedModel(module, detector_host(module, description, checkpoint.family), path.stem)


def read_official(path: Path) -> OfficialCheckpoint:
    """Read what an official checkpoint says; the moving average goes before the model.

    Raises:
        InputFileError: As ``load_official``.
        UnsupportedLayerError: Its head, or its form, is not one of the known ones.
    """
    with TorchArchive(path) as archive:
        try:
            root = _network(read_pickle(archive.pickle_bytes(), archive.storage_bytes))
            modules = walk_modules(root)
            records = walk_tensors(modules)
            head = _head(modules)
            records |= {"stride": _stride_record(modules[head])}
            tensors = _read_tensors(archive, records)
            return _checkpoint(modules, head, tensors)
        except (InputFileError, UnsupportedLayerError) as error:
            if f"'{path}'" in str(error):
                raise
            raise type(error)(f"'{path}': {error}") from None


def _network(tree: object) -> Record:
    """Return the network of what the file holds."""
    if isinstance(tree, Record):
        return tree
    if isinstance(tree, dict):
        for key in ("ema", "model"):
            value = tree.get(key)
            if isinstance(value, Record):
                return value
            if value is not None:
                raise InputFileError(
                    f"checkpoint's '{key}' holds weights without a network; {_CONVERT} and name "
                    "its --arch"
                )
    raise InputFileError(
        "checkpoint holds no network under 'model'; give a checkpoint of YOLOv5 or YOLOv7, or "
        f"{_CONVERT}"
    )


def _head(modules: dict[str, TreeModule]) -> str:
    """Return the path of the head."""
    count = sum(path.startswith("model.") and path.count(".") == 1 for path in modules)
    path = f"model.{count - 1}"
    kind = modules[path].kind if path in modules else "none"
    if kind not in HEADS:
        raise UnsupportedLayerError(
            f"the last layer '{path}' is {kind}; built are networks that end with "
            f"{' or '.join(HEADS)}"
        )
    return path


def _stride_record(head: TreeModule) -> TensorRecord:
    value = head.state.get("stride")
    if not isinstance(value, TensorRecord):
        raise InputFileError(f"checkpoint's head has no strides; {_CONVERT}")
    return value


def _read_tensors(archive: TorchArchive, records: dict[str, TensorRecord]) -> dict[str, Tensor]:
    """Read tensors out of their storages, float32 and int64."""
    count = sum(_elements(record) for record in records.values())
    if count > archive.size:  # every element has a byte at least, unless storages are shared
        raise InputFileError(
            f"checkpoint's tensors have {count} elements in {archive.size} bytes; {_CONVERT}"
        )
    users: dict[StorageRecord, list[str]] = {}
    for name, record in records.items():
        users.setdefault(record.storage, []).append(name)
    tensors: dict[str, Tensor] = {}
    for storage, names in users.items():  # each is read once
        flat = archive.storage(storage.key, storage.dtype)
        for name in names:
            record = records[name]
            tensors[name] = _cast(torch.as_strided(flat, record.size, record.stride, record.offset))
            if not bool(torch.isfinite(tensors[name]).all()):
                raise InputFileError(f"tensor '{name}' holds NaN or infinity; copy it again")
    return tensors


def _cast(value: Tensor) -> Tensor:
    dtype = torch.float32 if value.is_floating_point() else torch.int64
    return value.to(dtype, copy=True, memory_format=torch.contiguous_format)


def _elements(record: TensorRecord) -> int:
    count = 1
    for length in record.size:
        count *= length
    return count


def _checkpoint(
    modules: dict[str, TreeModule], head: str, tensors: dict[str, Tensor]
) -> OfficialCheckpoint:
    yaml = plain_value(modules[""].state.get("yaml"), "description (yaml)")
    if not isinstance(yaml, dict) or yaml.get("ch", 3) != 3:
        raise InputFileError(
            "checkpoint has no description (yaml) of a network that reads 3 channels; "
            f"{_CONVERT} and name its --arch"
        )
    names = _class_names(modules[""].state.get("names"))
    if yaml.get("nc") != len(names):
        raise InputFileError(
            f"checkpoint has {len(names)} class names for {_number(yaml.get('nc'))} classes; "
            "give one name per class"
        )
    strides = _strides(tensors.pop("stride"))
    return OfficialCheckpoint(
        family="yolov7" if _YOLOV7_ONLY & {m.kind for m in modules.values()} else "yolov5",
        yaml=yaml,
        class_names=names,
        strides=strides,
        anchors=_anchors(head, strides, tensors),
        activation=_activation(modules),
        bn_eps=_epsilon(modules),
        tensors=tensors,
        modules=modules,
    )


def _class_names(value: object) -> tuple[str, ...]:
    """Return the names of a list, or of a dict by number."""
    if isinstance(value, dict) and list(value) == list(range(len(value))):
        value = list(value.values())
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
        raise InputFileError(f"checkpoint's class names are no list of texts; {_CONVERT}")
    return tuple(value)


def _strides(value: Tensor) -> tuple[int, ...]:
    numbers = value.flatten().tolist()
    if not numbers or not all(1 <= n <= MAX_STRIDE and n == int(n) for n in numbers):
        raise InputFileError(
            f"checkpoint's strides {numbers[:8]} are not whole numbers of 1 to {MAX_STRIDE} pixels"
        )
    return tuple(int(n) for n in numbers)


def _anchors(head: str, strides: tuple[int, ...], tensors: dict[str, Tensor]) -> Anchors:
    """Return the head's anchors in pixels; drop the copy of them that older heads keep."""
    anchors = tensors.get(f"{head}.anchors")
    if anchors is None or anchors.ndim != 3 or anchors.shape[::2] != (len(strides), 2):
        raise InputFileError(
            f"checkpoint has no '{head}.anchors' of {len(strides)} scales; {_CONVERT}"
        )
    pixels = anchors * torch.tensor(strides)[:, None, None]
    grid = tensors.pop(f"{head}.anchor_grid", None)
    # both were rounded to float16 on their own
    if grid is not None and not (
        grid.numel() == pixels.numel()
        and torch.allclose(grid.flatten(), pixels.flatten(), rtol=2**-10)
    ):
        raise InputFileError(f"checkpoint's '{head}.anchor_grid' is not its anchors; {_CONVERT}")
    return tuple(tuple((w, h) for w, h in row) for row in pixels.tolist())


def _activation(modules: dict[str, TreeModule]) -> str:
    """Return the commonest activation, that of layers whose description does not name one."""
    kinds = Counter(m.kind for path, m in modules.items() if path.endswith(".act"))
    if not kinds:
        raise UnsupportedLayerError(f"checkpoint has no activations; {_CONVERT}")
    return kinds.most_common(1)[0][0]


def _epsilon(modules: dict[str, TreeModule]) -> float:
    values = [m.state.get("eps") for m in modules.values() if m.kind == "BatchNorm2d"]
    if not values:
        raise UnsupportedLayerError(
            "the network's batch normalisation is folded in; give the checkpoint of before fusing"
        )
    value = values[0]
    if type(value) is not float or not 0 < value < 1:
        raise InputFileError("checkpoint's batch normalisation has no epsilon between 0 and 1")
    return value


def _description(
    checkpoint: OfficialCheckpoint, path: Path, image_size: tuple[int, int] | None
) -> Description:
    value = {
        "yaml": checkpoint.yaml | {"anchors": [sum(row, ()) for row in checkpoint.anchors]},
        "names": checkpoint.class_names,
        "strides": checkpoint.strides,
        "bn_eps": checkpoint.bn_eps,
        "activation": checkpoint.activation,
    }
    return Description.from_json(value, f"'{path}'", image_size)


def _check_fit(checkpoint: OfficialCheckpoint, description: Description, path: Path) -> None:
    """Build the network without memory and compare, so that no description asks for much."""
    deepest = len(checkpoint.modules)
    depth = max(1.0, description.depth_multiple)
    for number, (_, repeats, kind, _) in enumerate(description.layers):
        if repeats * depth > deepest:
            raise InputFileError(
                f"'{path}': layer {number} ({kind[:40]}) has {repeats} repeats, the checkpoint "
                f"{deepest} modules; copy it again"
            )
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd sizes, which do not fit the tensors
            skeleton = DescribedModel(description)
    except NibbleflowError as error:
        raise type(error)(f"'{path}': {error}") from None
    except _BUILD_ERRORS as error:
        reason = ascii(str(error).partition("\n")[0])[1:-1][:120]
        raise InputFileError(
            f"'{path}': the checkpoint's description cannot be built: {reason}"
        ) from None
    load_into(skeleton, {k: v.to("meta") for k, v in checkpoint.tensors.items()}, path)
    try:
        compare_modules(checkpoint.modules, skeleton, skeleton.reads)
    except UnsupportedLayerError as error:
        raise UnsupportedLayerError(f"'{path}': {error}") from None


def _number(value: object) -> str:
    return str(value) if type(value) is int else "no number of"
