# SPDX-License-Identifier: Apache-2.0
"""The Makefile of a network's project: C simulation with g++ alone, vendor tools where they are."""

import string
from collections.abc import Sequence

from hls.csim import FOREIGN_HEADERS, SPEED_FLAGS, WARNING_FLAGS
from hls.storage import Backend

_TEMPLATE = string.Template("""\
# SPDX-License-Identifier: Apache-2.0
# C simulation of $name with g++, and the vendor's scripts.
CXX ?= g++
CXXFLAGS ?= $flags
STRICT := -std=c++11 $warnings
TREE := $tree
SYSTEM := -isystem firmware -isystem firmware/ap_types \\
    $includes
INCLUDES := $$(SYSTEM) -include firmware/$name.cpp

.PHONY: help csim csim-plain csim-bounded trace vitis vivado clean

help: ## list the targets
\t@grep -hE '^[a-z-]+:.*##' $$(MAKEFILE_LIST) | sed 's/:.*##/ -/'

$$(TREE)/csim/$name: $$(TREE)/${name}_test.cpp
\tmkdir -p $$(@D)
\tcd $$(TREE) && $$(CXX) $$(STRICT) $$(CXXFLAGS) $$(INCLUDES) ${name}_test.cpp -o csim/$name

$$(TREE)/csim/${name}_plain: $$(TREE)/${name}_test.cpp
\tmkdir -p $$(@D)
\tcd $$(TREE) && $$(CXX) $$(STRICT) $$(CXXFLAGS) -DNF_PLAIN $$(INCLUDES) ${name}_test.cpp \\
\t    -o csim/${name}_plain

$$(TREE)/csim/${name}_bounded: $$(TREE)/${name}_test.cpp
\tmkdir -p $$(@D)
\tcd $$(TREE) && $$(CXX) $$(STRICT) $$(CXXFLAGS) -I bounded $$(SYSTEM) -include bounded/$name.cpp \\
\t    ${name}_test.cpp -o csim/${name}_bounded

csim: $$(TREE)/csim/$name ## ap_int: every output code equal to the golden vectors
\tcd $$(TREE) && csim/$name tb_data

csim-plain: $$(TREE)/csim/${name}_plain ## the same source with native integers, faster
\tcd $$(TREE) && csim/${name}_plain tb_data

csim-bounded: $$(TREE)/csim/${name}_bounded ## streams of their depths: no deadlock
\tcd $$(TREE) && csim/${name}_bounded tb_data

trace: $$(TREE)/csim/${name}_plain ## every node's output as traces/<node>.bin
\trm -rf traces && mkdir traces
\tcd $$(TREE) && csim/${name}_plain tb_data ../traces

vitis: ## C simulation and synthesis in Vitis HLS (untested here)
\t@test -d vitis || { echo "error: this project has no tree for Vitis HLS"; exit 1; }
\t@command -v vitis-run > /dev/null || \\
\t    { echo "error: vitis-run is not on PATH; source the settings of Vitis first"; exit 1; }
\tcd vitis && vitis-run --mode hls --tcl build_prj.tcl

vivado: ## C simulation and synthesis in Vivado HLS (untested here)
\t@test -d vivado || { echo "error: this project has no tree for Vivado HLS"; exit 1; }
\t@command -v vivado_hls > /dev/null || \\
\t    { echo "error: vivado_hls is not on PATH; source the settings of Vivado first"; exit 1; }
\tcd vivado && vivado_hls -f build_prj.tcl

clean: ## remove what these targets made
\trm -rf $$(TREE)/csim traces
""")


def makefile(name: str, backends: Sequence[Backend]) -> str:
    """Return the text of the Makefile.

    Args:
        name: Project name.
        backends: Trees that are there; the first one's runs the C simulation.
    """
    return _TEMPLATE.substitute(
        name=name,
        flags=" ".join(SPEED_FLAGS),
        warnings=" ".join(WARNING_FLAGS),
        includes=" ".join(f"-include {header}" for header in FOREIGN_HEADERS),
        tree=backends[0].lower(),
    )
