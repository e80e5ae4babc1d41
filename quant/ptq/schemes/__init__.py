# SPDX-License-Identifier: Apache-2.0
"""Weight quantization schemes: grouping, levels, breakpoints, integer tables, mixtures."""
