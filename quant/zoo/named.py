# SPDX-License-Identifier: Apache-2.0
"""Models that a user's own Python code builds, named ``package.module:callable``.

This is the only way in which foreign code runs, and only because the user names it.
"""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from quant.errors import InputFileError, UnsupportedLayerError
from quant.hostspec import HostSpec
from quant.zoo.loaded import LoadedModel

# The usual normalisation of classifiers, in byte units.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
DECODES_OF_MODULES = ("none", "classify")
LETTERBOX_VALUE = 114


def load_named(
    spec: str, *, image_size: tuple[int, int] | None = None, decode: str | None = None
) -> LoadedModel:
    """Import a module, call what the user named, and take the model that it returns.

    The current folder is importable, as it is for ``python -m``.

    Args:
        spec: ``package.module:callable``; the callable takes no argument and returns a
            ``torch.nn.Module`` or a ``LoadedModel``.
        image_size: (height, width) in pixels; a bare module needs it, a ``LoadedModel`` has its
            own.
        decode: ``none`` (raw outputs, the default) or ``classify`` for a bare module.

    Returns:
        The model in eval mode.

    Raises:
        InputFileError: The name cannot be imported or called, or returns something else.
        UnsupportedLayerError: Size or decode do not fit what was returned.
    """
    made = _call(_find(spec), spec)
    if isinstance(made, LoadedModel):
        return _with_own_host(made, spec, image_size, decode)
    if not isinstance(made, nn.Module):
        raise InputFileError(
            f"'{spec}' returned {type(made).__name__}; return a torch.nn.Module, or a "
            "quant.zoo.loaded.LoadedModel with its HostSpec"
        )
    if image_size is None:
        raise InputFileError(
            f"'{spec}' returned a bare torch module, whose input size is not known; give --img"
        )
    name = spec.rpartition(":")[2].rpartition(".")[2]
    return LoadedModel(made.eval(), bare_host(spec, image_size, decode), name)


def bare_host(spec: str, image_size: tuple[int, int], decode: str | None) -> HostSpec:
    """Return the host side of a network of which only input size and decode are known.

    Args:
        spec: What the user named, for the message.
        image_size: (height, width) in pixels.
        decode: ``none``: letterbox, bytes divided by 255; ``classify``: squashed, ImageNet's mean
            and deviation; ``None`` means ``none``.

    Raises:
        UnsupportedLayerError: The decode needs strides, anchors and class names.
    """
    classify = decode == "classify"
    if decode not in (None, *DECODES_OF_MODULES):
        raise UnsupportedLayerError(
            f"'{spec}' is a bare torch module; --decode {decode} also needs strides, anchors and "
            "class names: return a quant.zoo.loaded.LoadedModel, or choose "
            + " or ".join(DECODES_OF_MODULES)
        )
    return HostSpec(
        height=image_size[0],
        width=image_size[1],
        place="squash" if classify else "center",
        pad_value=LETTERBOX_VALUE,
        channel_order="rgb",
        mean=IMAGENET_MEAN if classify else (0.0, 0.0, 0.0),
        std=IMAGENET_STD if classify else (255.0, 255.0, 255.0),
        decode="classify" if classify else "none",
        strides=(),
        anchors=(),
        outputs=(),
        class_names=(),
    )


def _find(spec: str) -> Callable[[], Any]:
    module_name, _, path = spec.partition(":")
    if not module_name or not path:
        raise InputFileError(f"model '{spec}' is not of the form package.module:callable")
    before = list(sys.path)
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        raise InputFileError(
            f"'{module_name}' of '{spec}' cannot be imported ({_text(error)}); run where "
            f"'python -c \"import {module_name}\"' works"
        ) from error
    finally:
        sys.path[:] = before
    for part in path.split("."):
        if not hasattr(found, part):
            raise InputFileError(
                f"'{spec}': '{getattr(found, '__name__', module_name)}' has no '{part}'; name a "
                "callable that it defines"
            )
        found = getattr(found, part)
    if isinstance(found, nn.Module) or not callable(found):
        kind = type(found).__name__
        raise InputFileError(
            f"'{spec}' is {kind}, not a function; name a function without arguments that returns "
            "the model"
        )
    return found  # type: ignore[no-any-return]


def _call(function: Callable[[], Any], spec: str) -> Any:  # noqa: ANN401 - checked by the caller
    try:
        return function()
    except Exception as error:
        raise InputFileError(
            f"'{spec}' failed when called without arguments ({_text(error)}); correct the function"
        ) from error


def _with_own_host(
    made: LoadedModel, spec: str, image_size: tuple[int, int] | None, decode: str | None
) -> LoadedModel:
    own = (made.host.height, made.host.width)
    if image_size not in (None, own):
        raise UnsupportedLayerError(
            f"'{spec}' returned a model for {own[1]}x{own[0]} pixels; leave --img out, or return "
            "one of the size wanted"
        )
    if decode not in (None, made.host.decode):
        raise UnsupportedLayerError(
            f"'{spec}' returned a model that decodes '{made.host.decode}'; leave --decode out"
        )
    made.module.eval()
    return made


def _text(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
