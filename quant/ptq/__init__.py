# SPDX-License-Identifier: Apache-2.0
"""Float side: import, calibrate, quantize, lower; needs torch."""
