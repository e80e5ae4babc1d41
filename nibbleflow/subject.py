# SPDX-License-Identifier: Apache-2.0
"""What an accuracy is measured of: a build with its three engines, or a float model with one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nibbleflow.engines import (
    Engine,
    fake_quant_engine,
    float_engine,
    float_graph_engine,
    integer_engine,
    stored_weights_engine,
)
from nibbleflow.folders import BuildFolder
from quant.bundle import load_bundle
from quant.bundle.weights import is_weights_bundle, load_weights
from quant.errors import InputFileError
from quant.floatstore import load_float
from quant.hostspec import HostSpec
from quant.ptq.importer import import_model
from quant.zoo.resolve import is_model, load_model

ENGINES = ("float", "fake_quant", "integer")

Running = tuple[Engine, HostSpec]


@dataclass(frozen=True)
class Subject:
    """A network that can be run on images.

    Attributes:
        model: What the user named when it was read.
        host: What the host does around it.
        makers: By engine, the function that prepares it.
        facts: JSON values that name it.
        absent: By engine that this network lacks, why.
    """

    model: str
    host: HostSpec
    makers: dict[str, Callable[[], Running]]
    facts: dict[str, Any]
    absent: dict[str, str]

    def start(self, engines: Sequence[str]) -> dict[str, Running]:
        """Prepare the wanted engines; all that exist when none is named.

        Raises:
            InputFileError: An engine is unknown, or this network has none of that name.
        """
        for name in engines:
            if name not in ENGINES:
                raise InputFileError(f"engine '{name}' is unknown; choose {', '.join(ENGINES)}")
            if name not in self.makers:
                raise InputFileError(
                    f"engine '{name}' {self.absent[name]}; choose {', '.join(self.makers)}"
                )
        return {n: make() for n, make in self.makers.items() if not engines or n in engines}


def subject_of(
    name: str | Path,
    *,
    arch: str | None,
    image_size: tuple[int, int] | None,
    decode: str | None,
    seed: int | None,
) -> Subject:
    """Return the build of that path, or the float model of that name.

    Raises:
        NibbleflowError: Build or model cannot be read, or an option belongs to the other kind.
    """
    if is_model(str(name)) and not Path(name).is_dir():
        loaded = load_model(str(name), arch=arch, image_size=image_size, decode=decode, seed=seed)
        imported = import_model(loaded, in_float=True)
        graph, host = imported.graph, imported.host
        why = f"needs a build, and {name} is a float model: quantize it first"
        if imported.check.unsupported:
            why = f"cannot be made of {name}: {imported.check.unsupported[0].message}"
        return Subject(
            str(name),
            host,
            {"float": lambda: (float_graph_engine(graph, host), host)},
            {"model": str(name)},
            dict.fromkeys(ENGINES[1:], why),
        )
    options = {"--arch": arch, "--img": image_size, "--decode": decode, "--seed": seed}
    for option, value in options.items():
        if value is not None:
            raise InputFileError(
                f"{option} belongs to a model, and {name} is a build; leave it out"
            )
    folder = BuildFolder.existing(name)
    if is_weights_bundle(folder.bundle):
        return _weights_subject(name, folder)
    bundle = load_bundle(folder.bundle)
    return Subject(
        bundle.record.model,
        bundle.host,
        {
            "float": lambda: (float_engine(folder), load_float(folder.floats)[1]),
            "fake_quant": lambda: (fake_quant_engine(folder, bundle), bundle.host),
            "integer": lambda: (integer_engine(bundle), bundle.host),
        },
        {"build": str(name), "digest": bundle.graph.digest},
        {},
    )


def _weights_subject(name: str | Path, folder: BuildFolder) -> Subject:
    """Return a build of kind weights: float beside the stored weights, nothing in integers."""
    bundle = load_weights(folder.bundle)
    return Subject(
        bundle.record.model,
        bundle.host,
        {
            "float": lambda: (float_engine(folder), load_float(folder.floats)[1]),
            "fake_quant": lambda: (stored_weights_engine(folder, bundle), bundle.host),
        },
        {"build": str(name), "kind": "weights"},
        {"integer": f"does not exist: {name} is of kind weights, its activations are float"},
    )
