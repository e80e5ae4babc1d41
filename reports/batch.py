# SPDX-License-Identifier: Apache-2.0
"""Several modules in one run of Yosys: each flattened into a module of its own and counted.

A run reads its libraries once, which is most of what a small module costs.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hw.cell import Parameter
from hw.estimate.primitives import Resources
from hw.instance import instance_text
from quant.errors import ToolError
from reports.yosys import LOG, counted_resources, synthesise

Port = tuple[str, str, int]
INPUT, OUTPUT = "input  wire logic", "output logic"


@dataclass(frozen=True, eq=False)
class Dut:
    """One instance of a hand-written module.

    Attributes:
        module: Its name.
        parameters: Parameter to value.
        ports: Direction, name and bits of the ports to connect.
        files: Name to text of the memory files that it reads.
        unused: Outputs of one bit that nothing reads.
    """

    module: str
    parameters: Mapping[str, Parameter]
    ports: tuple[Port, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()


def synthesise_batch(
    folder: Path,
    sources: Mapping[str, str],
    duts: Sequence[Dut],
    flow: Sequence[str],
    *,
    timeout_seconds: int,
) -> list[Resources]:
    """Return what each instance takes.

    Args:
        folder: Scratch folder.
        sources: Name to text of every module that they need.
        duts: The instances; instance ``k`` becomes the module ``dut_<k>$...`` under ``batch``.
        flow: Yosys commands after the hierarchy is read.
        timeout_seconds: Wall time of the run.

    Raises:
        ToolError: Yosys fails or drops logic, or two instances share the name of a memory file.
    """
    files = dict(sources)
    for dut in duts:
        for name, text in dut.files.items():
            if files.setdefault(name, text) != text:
                raise ToolError(f"two instances have a memory file '{name}' with other contents")
    files["batch.sv"] = _text(duts)
    steps = ["setattr -mod -set keep_hierarchy 1 dut_*", *flow, "select dut_*"]
    top = "batch --keep-hierarchy"
    synthesise(folder, files, top, "; ".join(steps), timeout_seconds=timeout_seconds)
    log = (folder / LOG).read_text(encoding="utf-8")
    # Sections by module; a last one may sum up.
    counts = log[log.rindex("Printing statistics") :]
    parts = re.split(r"^=== (.+) ===$", counts, flags=re.M)
    found = {}
    for module, text in zip(parts[1::2], parts[2::2], strict=True):
        number = re.fullmatch(r"dut_(\d+)\S*", module)
        if number:
            cells = re.findall(r"^ +(\d+) +([A-Z]\w+)$", text, re.M)
            found[int(number[1])] = counted_resources({name: int(n) for n, name in cells})
    if sorted(found) != list(range(len(duts))):
        raise ToolError(f"Yosys counted {len(found)} instances of {len(duts)}; see {folder / LOG}")
    return [found[k] for k in range(len(duts))]


def _text(duts: Sequence[Dut]) -> str:
    """Return a module per instance and the top that holds all of them."""
    modules, heads, bodies = [], [], []
    for k, dut in enumerate(duts):
        head = ",\n  ".join(f"{way} [{bits - 1}:0] {port}" for way, port, bits in dut.ports)
        wires = {port: port for _, port, _ in dut.ports}
        open_wires = {port: f"unused_{port}" for port in dut.unused}
        nets = "".join(f"  logic {net};\n" for net in open_wires.values())
        body = instance_text(dut.module, "u_dut", dut.parameters, wires | open_wires)
        modules.append(f"module dut_{k} (\n  {head}\n);\n{nets}{body}\nendmodule\n")
        heads += [f"{way} [{bits - 1}:0] p{k}_{port}" for way, port, bits in dut.ports]
        outer = {port: f"p{k}_{port}" for port in wires}
        bodies.append(instance_text(f"dut_{k}", f"u_{k}", {}, outer))
    head, body = ",\n  ".join(heads), "\n".join(bodies)
    return "".join(modules) + f"module batch (\n  {head}\n);\n{body}\nendmodule\n"
