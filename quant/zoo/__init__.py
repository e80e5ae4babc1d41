# SPDX-License-Identifier: Apache-2.0
"""Known networks and the built-in detector; submodules need torch."""
