# SPDX-License-Identifier: Apache-2.0
"""The bundle: a QGraph, its HostSpec and its QuantRecord as two files that any language reads."""

from quant.bundle.cheader import c_texts, export_c
from quant.bundle.layout import MemoryKind, StoredTensor, graph_tensors, stored_tensors
from quant.bundle.load import load_bundle
from quant.bundle.mem import export_mem, mem_texts
from quant.bundle.pack import pack, packed_size, unpack
from quant.bundle.save import Bundle, save_bundle

__all__ = [
    "Bundle",
    "MemoryKind",
    "StoredTensor",
    "c_texts",
    "export_c",
    "export_mem",
    "graph_tensors",
    "load_bundle",
    "mem_texts",
    "pack",
    "packed_size",
    "save_bundle",
    "stored_tensors",
    "unpack",
]
