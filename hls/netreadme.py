# SPDX-License-Identifier: Apache-2.0
"""The README of a network's project: what it is, and an estimate before synthesis."""

from hls.network import HlsNetwork
from hls.streamdepths import PIPELINE_CYCLES
from quant.bundle.names import shown

_HEAD = """\
# {name}

Streaming HLS of the integer graph `{digest}` ({nodes} nodes). `vitis/` and `vivado/` are hls4ml
projects for the two vendor tools (the second is left out when the plan uses ultra RAM, which Vivado
HLS does not know); the kernels are `firmware/nnet_utils/nf_*.h`.

    make csim          ap_int types, every output code compared with the golden vectors
    make csim-plain    the same source with native integers, faster
    make csim-bounded  ap_int, streams of their depths, all processes side by side: no deadlock
    make trace         records every node's output as traces/<node>.bin
    make vitis         C simulation and synthesis in Vitis HLS
    make vivado        the same in Vivado HLS

No vendor tool has synthesised this; `II=1` of the inner loops is what they are written for, not a
result. Ultra RAM of UltraScale+ devices has no initial contents: a tool may refuse a weight memory
that is bound to it.

## Estimate before synthesis

Iterations per frame of every layer at an initiation interval of 1 (fill and drain left out). The
slowest is `{slowest}`; with its fill and drain a frame takes {interval:,} cycles, {fps:.1f} frames
per second at {mhz:g} MHz. FIFO: places of the output stream, in beats; {kib:,.1f} KiB in all. They
are what the plan says, or more: a process of HLS takes nothing while it waits to write, and begins
a frame when it has ended the one before. With these places none ever waits to write, if a pipeline
is at most {pipeline} stages long and hands on what it has finished while it waits for input (Vitis
HLS calls that a free-running pipeline; a stalled one may hold results back). `make csim-bounded`
runs the processes side by side with streams of these places, and ends with who waits for what if
they stand still.

| layer | kernel | PE | SIMD | cycles | share of the slowest | FIFO |
|---|---|---:|---:|---:|---:|---:|
"""
_KEPT = """
## Weights on the chip

The plan brings the weights of {names} from outside; that is for the RTL of the network. Here they
are constants as those of the other layers, and the tool chooses their memory.
"""


def network_readme(network: HlsNetwork) -> str:
    """Return the text of ``README.md``."""
    clock_hz = network.schedule.clock_hz
    slowest = max(network.layers, key=lambda layer: layer.kernel.interval_cycles)
    most = slowest.kernel.interval_cycles
    head = _HEAD.format(
        name=network.name,
        digest=network.graph.digest[:16],
        nodes=len(network.graph.nodes),
        interval=network.interval_cycles,
        fps=clock_hz / network.interval_cycles,
        kib=network.stream_bits / 8192,
        pipeline=PIPELINE_CYCLES,
        mhz=clock_hz / 1e6,
        slowest=slowest.name,
    )
    rows = []
    for layer in network.layers:
        kernel = layer.kernel
        cycles = kernel.interval_cycles
        depths = " ".join(map(str, layer.depths))
        function = kernel.function.removeprefix("nf::")
        rows.append(
            f"| {shown(layer.name)} | {function} | {kernel.outputs[0].lanes} | "
            f"{kernel.inputs[0].lanes} | {cycles:,} | {100 * cycles / most:.0f} % | {depths} |"
        )
    text = head + "\n".join(rows) + "\n"
    kept = network.kept_weights
    if kept:
        names = ", ".join(f"`{shown(name)}`" for name in kept)
        text += _KEPT.format(names=names)
    return text
