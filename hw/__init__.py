# SPDX-License-Identifier: Apache-2.0
"""QGraph and Schedule to SystemVerilog, with the folding plan."""
