# SPDX-License-Identifier: Apache-2.0
"""QGraph and Schedule to Vitis HLS C++, through hls4ml, compiled and run with g++.

One convolution at a time:

    project = emit_conv_hls(node, source_format, (C, H, W), Folding(pe, simd), name)   # a value
    write_project(project, directory)                      # hls4ml's Vitis tree with our test bench
    program = compile_csim(directory)                      # g++, no vendor tool
    run = run_csim(program, inputs, expected, work_dir)    # codes [N, C, H, W] -> [N, F, OH, OW]

The cell itself is the C++ in ``hls/include`` (``nf_*.h``). Writing a project needs hls4ml (extra
``hls``), running it needs g++; importing this package needs neither. ``write_project`` silences
hls4ml for the whole process, so call it from one thread; compiling and running may be concurrent.
Group multipliers other than 1 and several pixels per beat are refused with a ``PlanError``.
"""

from hls.cell import ConvCell, fold_conv
from hls.csim import CsimRun, compile_csim, run_csim
from hls.naming import project_name
from hls.project import HlsProject, emit_conv_hls, write_project
from hls.vectors import read_frames, write_frames, write_vectors

__all__ = [
    "ConvCell",
    "CsimRun",
    "HlsProject",
    "compile_csim",
    "emit_conv_hls",
    "fold_conv",
    "project_name",
    "read_frames",
    "run_csim",
    "write_frames",
    "write_project",
    "write_vectors",
]
