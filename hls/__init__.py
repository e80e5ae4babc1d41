# SPDX-License-Identifier: Apache-2.0
"""QGraph and Schedule to Vitis and Vivado HLS C++, through hls4ml, compiled and run with g++.

A whole network:

    network = emit_network(graph, schedule)             # a value: one hls4ml layer per node
    write_network(network, directory)                   # vitis/, vivado/, Makefile, README.md
    program = compile_csim(directory / "vitis", plain=True)
    run = run_network(network, program, inputs, expected, work_dir, trace=True)

One convolution at a time:

    project = emit_conv_hls(node, source_format, (C, H, W), Folding(pe, simd), name)   # a value
    write_project(project, directory)                      # hls4ml's Vitis tree with our test bench
    program = compile_csim(directory)                      # g++, no vendor tool
    run = run_csim(program, inputs, expected, work_dir)    # codes [N, C, H, W] -> [N, F, OH, OW]

A layer in an hls4ml model of one's own: ``conv_layer``, ``layer_attributes``, ``layer_header``
(``examples/hls4ml_layers``).

The kernels are the C++ in ``hls/include`` (``nf_*.h``). Writing a project needs hls4ml (extra
``hls``), running it needs g++; importing this package needs neither. Writing silences hls4ml for
the whole process, so do it from one thread; compiling and running may be concurrent. Several pixels
per beat and packed cores are refused with a ``PlanError``.
"""

from hls.cell import ConvCell, fold_conv
from hls.csim import CsimRun, compile_csim, run_csim
from hls.model import layer_attributes
from hls.naming import project_name
from hls.netproject import write_network
from hls.netrun import NetworkRun, run_network
from hls.netvectors import write_network_vectors
from hls.network import HlsNetwork, emit_network
from hls.project import HlsProject, conv_layer, emit_conv_hls, layer_header, write_project
from hls.vectors import read_frames, write_frames, write_vectors
from hls.walk import Walk, kernel_walks

__all__ = [
    "ConvCell",
    "CsimRun",
    "HlsNetwork",
    "HlsProject",
    "NetworkRun",
    "Walk",
    "compile_csim",
    "conv_layer",
    "emit_conv_hls",
    "emit_network",
    "fold_conv",
    "kernel_walks",
    "layer_attributes",
    "layer_header",
    "project_name",
    "read_frames",
    "run_csim",
    "run_network",
    "write_frames",
    "write_network",
    "write_network_vectors",
    "write_project",
    "write_vectors",
]
