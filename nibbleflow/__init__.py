# SPDX-License-Identifier: Apache-2.0
"""The face: the command line and the verbs; no arithmetic of its own."""
