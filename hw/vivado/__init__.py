# SPDX-License-Identifier: Apache-2.0
"""What a user of Vivado gets beside the generated RTL: scripts, constraints, a host program.

Every file is text, made by a pure function of ``VivadoDesign``. No vendor tool was run on any of
them here, and each says so in its header.
"""

from hw.vivado.design import AxiStream, VivadoDesign, vivado_design
from hw.vivado.files import vivado_files

__all__ = ["AxiStream", "VivadoDesign", "vivado_design", "vivado_files"]
