# SPDX-License-Identifier: Apache-2.0
"""Integer formats, the QGraph, the Schedule and the bundle (numpy and safetensors only)."""
