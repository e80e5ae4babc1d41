# SPDX-License-Identifier: Apache-2.0
"""Reads weights and their description from files, and refuses what does not fit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from quant.errors import InputFileError

# Counts training steps; no meaning for inference, so files may lack it.
STEP_COUNTER = "num_batches_tracked"


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read every tensor of a safetensors file.

    Args:
        path: The file; float16 and float64 are cast to float32, integers kept.

    Returns:
        Tensors by name; float32 or int64.

    Raises:
        InputFileError: The file is missing, truncated, of another kind, or holds a value that is
            not finite.
    """
    if not path.is_file():
        raise InputFileError(f"weights file '{path}' does not exist; give a .safetensors file")
    tensors: dict[str, Tensor] = {}
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 - no mapping, has no iterator
                tensors[name] = _to_tensor(file.get_tensor(name), name, path)
    except (SafetensorError, OSError, TypeError) as error:
        raise InputFileError(
            f"weights file '{path}' ({path.stat().st_size} bytes) is truncated or no safetensors "
            f"file: {error}; copy it again"
        ) from None
    return tensors


def read_json(path: Path) -> dict[str, Any]:
    """Read the JSON object that describes the weights.

    Raises:
        InputFileError: The file is missing or not a JSON object.
    """
    value = read_description(path)
    if not isinstance(value, dict):
        raise InputFileError(f"description '{path}' is not a JSON object; correct it")
    return value


def read_description(path: Path) -> dict[str, Any] | list[Any]:
    """Read the JSON that describes the weights: an object, or a list of an ncnn network's nodes.

    Raises:
        InputFileError: The file is missing or neither of the two.
    """
    if not path.is_file():
        raise InputFileError(
            f"description '{path}' does not exist; put the model's JSON there or name its "
            "architecture with --arch"
        )
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputFileError(f"description '{path}' is not JSON: {error}; correct it") from None
    if not isinstance(value, dict | list):
        raise InputFileError(f"description '{path}' is not a JSON object; correct it")
    return value


def load_into(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Copy tensors into a module's parameters and buffers, all of them and nothing else.

    Args:
        module: Network that the file is meant for.
        tensors: Tensors by state-dict name.
        path: Where they came from, for messages.

    Raises:
        InputFileError: A tensor is missing, left over, or of another shape.
    """
    expected = module.state_dict()
    missing = [k for k in expected if k not in tensors and not k.endswith(STEP_COUNTER)]
    if missing:
        raise InputFileError(
            f"'{path}' lacks {len(missing)} of {len(expected)} tensors, first '{missing[0]}'; "
            "the description and the weights are of different models"
        )
    extra = [k for k in tensors if k not in expected]
    if extra:
        raise InputFileError(
            f"'{path}' has {len(extra)} tensors that the description does not, first '{extra[0]}'; "
            "the description and the weights are of different models"
        )
    for name, value in tensors.items():
        if value.shape != expected[name].shape:
            raise InputFileError(
                f"'{path}': tensor '{name}' has shape {list(value.shape)}, the description needs "
                f"{list(expected[name].shape)}; check its class names and multiples"
            )
    module.load_state_dict(tensors, strict=False)


def _to_tensor(value: np.ndarray, name: str, path: Path) -> Tensor:
    if not np.issubdtype(value.dtype, np.floating):
        return torch.from_numpy(value.astype(np.int64))
    result = torch.from_numpy(value.astype(np.float32))
    if not bool(torch.isfinite(result).all()):
        raise InputFileError(f"'{path}': tensor '{name}' holds NaN or infinity; copy it again")
    return result
