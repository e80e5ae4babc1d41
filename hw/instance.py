# SPDX-License-Identifier: Apache-2.0
"""Text of one module instance: parameters by name, ports by name."""

from collections.abc import Mapping

from hw.cell import Parameter


def instance_text(
    module: str, name: str, parameters: Mapping[str, Parameter], ports: Mapping[str, str]
) -> str:
    """Return the SystemVerilog text of one instance, indented by two spaces.

    Args:
        module: Name of the module.
        name: Name of the instance.
        parameters: Parameter to value, in the order of the text; strings are quoted.
        ports: Port to expression, in the order of the text; a port connected to a net of its own
            name is written without it.
    """
    values = ",\n".join(f"    .{key}({_value(value)})" for key, value in parameters.items())
    wires = ",\n".join(
        f"    .{port}" if port == net else f"    .{port}({net})" for port, net in ports.items()
    )
    head = f"  {module} #(\n{values}\n  ) {name} (" if parameters else f"  {module} {name} ("
    return f"{head}\n{wires}\n  );"


def _value(value: Parameter) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
