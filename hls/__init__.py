# SPDX-License-Identifier: Apache-2.0
"""QGraph and Schedule to HLS C++ through hls4ml."""
