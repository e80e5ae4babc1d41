# SPDX-License-Identifier: Apache-2.0
"""Golden model, host side, engines and the first-difference finder."""
