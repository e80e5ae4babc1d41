# SPDX-License-Identifier: Apache-2.0
"""One module per verb; ``nibbleflow.<verb>`` is the function of the same name."""
