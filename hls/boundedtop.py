# SPDX-License-Identifier: Apache-2.0
"""The top function of a written project with streams of their depths and processes side by side."""

import re
from collections.abc import Sequence
from pathlib import Path

from hls.layer import Layer, stream_variable
from quant.errors import ToolError

STREAM_HEADER = Path(__file__).resolve().parent / "bounded" / "hls_stream.h"
"""Stands before the vendor's header of the same name."""
DEADLOCK = 3
"""Exit code of a simulation that stands still."""

_DEPTH = re.compile(r"#pragma HLS STREAM variable=(\w+) depth=(\d+)")
_STREAM = re.compile(r"hls::stream<(\w+)> (\w+)\(\"\w+\"\);")
_CALL = re.compile(r"(nf::\w+)<([^>]*)>\((.*)\);.*")
_IGNORED = re.compile(r"|//.*|#pragma .*|NF_TRACE\(.*|}")


def bounded_top(written: str, layers: Sequence[Layer]) -> str:
    """Return the top function as ``bounded/hls_stream.h`` runs it.

    Depths and calls are those that hls4ml wrote.

    Args:
        written: Text of the top function, ``firmware/<name>.cpp``.
        layers: Its layers, in order.

    Raises:
        ToolError: A line is none that is known, or the calls are not those of the layers.
    """
    head, _, body = written.partition(") {\n")
    depths = {name: int(depth) for name, depth in _DEPTH.findall(body)}
    lines, calls = [], []
    for line in (text.strip() for text in body.splitlines()):
        if stream := _STREAM.fullmatch(line):
            beat, name = stream.groups()
            lines.append(f'    hls::stream<{beat}> {name}("{name}", {_depth(depths, name)});')
        elif call := _CALL.fullmatch(line):
            calls.append(call)
        elif not _IGNORED.fullmatch(line):
            raise ToolError(f"hls4ml wrote '{line}', which is no stream and no call; "
                            "install the pinned version")  # fmt: skip
    functions = [call.group(1) for call in calls]
    if functions != [layer.kernel.function for layer in layers]:
        raise ToolError(
            f"hls4ml wrote {len(calls)} calls for {len(layers)} layers, or in another order; "
            "install the pinned version"
        )
    lines.append("    nf::region region;")
    for layer, call in zip(layers, calls, strict=True):
        lines += _started(layer, *call.groups())
    note = "// Made from firmware: depths of the pragmas, calls side by side.\n"
    return f"{note}{head}) {{\n" + "\n".join(lines) + "\n    region.run();\n}\n"


def _depth(depths: dict[str, int], name: str) -> int:
    if name not in depths:
        raise ToolError(f"hls4ml wrote no depth of stream '{name}'; install the pinned version")
    return depths[name]


def _started(layer: Layer, function: str, arguments: str, streams: str) -> list[str]:
    """Return the statements that start a call; a pool is a region of two processes of its own."""
    if function != "nf::maxpool":
        return [f'    region.start("{layer.name}", [&] {{ {function}<{arguments}>({streams}); }});']
    source, target = streams.split(", ")
    narrowed = stream_variable(f"{layer.name}_narrowed")
    depth = layer.kernel.constants["narrowed_depth"]
    beat = f"decltype({source}.read())"
    return [
        f'    hls::stream<{beat}> {narrowed}("{narrowed}", {depth});',
        *(
            f'    region.start("{layer.name} ({way})", '
            f"[&] {{ nf::max_pass<{beat}, {arguments}, {vertical}>({ports}); }});"
            for way, vertical, ports in (
                ("along rows", "false", f"{source}, {narrowed}"),
                ("along columns", "true", f"{narrowed}, {target}"),
            )
        ),
    ]
