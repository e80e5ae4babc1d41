# SPDX-License-Identifier: Apache-2.0
"""Files of the packed multiply-accumulate cores, and of the DSP block that they are made of."""

from importlib import resources
from pathlib import Path

from hw.conv import rtl_sources

# Hand-written modules of the convolution cell that the packed cores use, too.
SHARED = ("nf_adder_tree.sv",)


def packed_sources() -> tuple[Path, ...]:
    """Return the packed cores and every module below them but ``DSP48E2``, sorted by path."""
    own = {path.name for path in _sources("packed")}
    return tuple(path for path in rtl_sources() if path.name in own or path.name in SHARED)


def dsp_model() -> Path:
    """Return the behavioural model of ``DSP48E2``, for simulation."""
    return _file("DSP48E2.sv")


def dsp_ports() -> Path:
    """Return the declaration of ``DSP48E2`` without contents, for Yosys; vendors' tools have it."""
    return _file("DSP48E2_ports.sv")


def _sources(folder: str) -> tuple[Path, ...]:
    found = resources.files("hw") / "rtl" / folder
    return tuple(Path(str(f)) for f in found.iterdir() if f.name.endswith(".sv"))


def _file(name: str) -> Path:
    (path,) = (path for path in _sources("primitives") if path.name == name)
    return path
