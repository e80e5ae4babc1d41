# SPDX-License-Identifier: Apache-2.0
"""Kernel: one call of a hand-written HLS function, with its configuration and constant arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from hls.streams import Stream

# What every HLS tool gives a stream of its own accord.
LEAST_DEPTH = 2

Binding = Literal["weights", "lookup", "registers"]
"""What an array becomes: a memory of the schedule's style, a ROM read by all lanes, or wires."""


@dataclass(frozen=True, eq=False)
class ConstantArray:
    """One constant array of a kernel.

    Attributes:
        name: Short name; the prefix of the layer is put before it.
        ctype: C++ element type.
        values: One or two dimensions.
        binding: What it becomes in hardware.
        hexadecimal: Whether it is written in hexadecimal.
    """

    name: str
    ctype: str
    values: npt.NDArray[np.generic]
    binding: Binding = "registers"
    hexadecimal: bool = False


@dataclass(frozen=True, eq=False)
class Kernel:
    """One process of the dataflow region.

    Attributes:
        function: C++ function template, as ``nf::conv``; its first argument is the configuration.
        header: File in ``hls/include`` that defines it.
        inputs: Streams read, in port order.
        outputs: Streams written; several only for a fork.
        constants: Integer members of the configuration struct.
        typedefs: Type members of the configuration struct.
        arguments: Further integer template arguments.
        arrays: Constant arrays, in the order of the call.
        interval_cycles: Iterations per frame at an initiation interval of 1 (estimated: no vendor
            tool has scheduled the loops).
    """

    function: str
    header: str
    inputs: tuple[Stream, ...]
    outputs: tuple[Stream, ...]
    constants: Mapping[str, int]
    interval_cycles: int
    typedefs: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[int, ...] = ()
    arrays: tuple[ConstantArray, ...] = ()

    def __post_init__(self) -> None:
        """Make the mappings read-only."""
        for name in ("constants", "typedefs"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def configuration(self) -> str:
        """Body of the configuration struct, one member per line."""
        types = {"types": "nf::default_types", **self.typedefs}
        lines = [f"typedef {value} {name};" for name, value in types.items()]
        lines += [f"static const int {name} = {value};" for name, value in self.constants.items()]
        return "".join(f"    {line}\n" for line in lines)

    def call(
        self, config: str, inputs: tuple[str, ...], outputs: tuple[str, ...], prefix: str
    ) -> str:
        """Return the C++ statement.

        Args:
            config: Name of the configuration struct.
            inputs: Names of the streams read.
            outputs: Names of the streams written.
            prefix: Prefix of the constant arrays.
        """
        # The side with one stream comes first: the other may be a parameter pack.
        streams = outputs + inputs if len(inputs) > 1 else inputs + outputs
        template = ", ".join([config, *map(str, self.arguments)])
        values = ", ".join([*streams, *(f"{prefix}_{array.name}" for array in self.arrays)])
        return f"{self.function}<{template}>({values});"
