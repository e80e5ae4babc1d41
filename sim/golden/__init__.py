# SPDX-License-Identifier: Apache-2.0
"""The golden model: what the integers of a QGraph are, in numpy alone.

It judges every other engine, so it shares no arithmetic with them: decoding, zero codes, rounding
and proofs are written out here from the contract, and only quant's data types are imported.
"""

from sim.golden.decode import code_dtype, decode_codes, decode_weights, zero_code
from sim.golden.requantize import requantize
from sim.golden.run import GoldenModel, GoldenRun, golden_node, run_conv, run_golden

__all__ = [
    "GoldenModel",
    "GoldenRun",
    "code_dtype",
    "decode_codes",
    "decode_weights",
    "golden_node",
    "requantize",
    "run_conv",
    "run_golden",
    "zero_code",
]
