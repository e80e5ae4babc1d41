# SPDX-License-Identifier: Apache-2.0
"""Exported texts are read back by other programs and compared element by element."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quant.bundle import Bundle, c_texts, export_c, export_mem, graph_tensors, mem_texts
from quant.bundle.layout import StoredTensor
from quant.bundle.names import unique_stems
from quant.errors import BundleError
from quant.graph import QGraph
from quant.nodes import Input, Output
from quant.samples import sample_conv, sample_graph

WARNINGS = ["-Wall", "-Wextra", "-Werror", "-pedantic"]


def awkward_graph() -> QGraph:
    """Node names that are no file names, no identifiers, and that end comments."""
    one, source = sample_conv(1, 3, 6, names=("model.0/conv", "/images"))
    two, _ = sample_conv(2, 6, 6, source=one.output, names=("model.0.conv", "model.0/conv"))
    three, _ = sample_conv(3, 6, 6, source=two.output, names=("MODEL_0_CONV", "model.0.conv"))
    four, _ = sample_conv(4, 6, 6, source=three.output, names=("*/ é\n#error", "MODEL_0_CONV"))
    image = Input("/images", (3, 6, 7), source)
    return QGraph("a */ b", (image, one, two, three, four, Output("out", four.name)))


def read_mem(text: str, bits: int, signed: bool) -> list[int]:
    """What $readmemh does: comments go, every word is a number of that many bits."""
    words = [int(w, 16) for w in re.sub(r"//[^\n]*", "", text).split()]
    assert all(w < 1 << bits for w in words)
    return [w - (1 << bits) if signed and w >> (bits - 1) else w for w in words]


def files_of(tensors: tuple[StoredTensor, ...], graph: QGraph) -> dict[str, StoredTensor]:
    stems = unique_stems([n.name for n in graph.nodes])
    return {f"{stems[t.node]}.{t.field}.mem": t for t in tensors}


@pytest.mark.parametrize("graph", [sample_graph(4), awkward_graph()], ids=["sample", "awkward"])
def test_mem_texts_hold_every_element(graph: QGraph, tmp_path: Path) -> None:
    written = export_mem(graph, tmp_path / "mem")
    expected = files_of(graph_tensors(graph), graph)
    assert len(written) == len(expected) == len(graph_tensors(graph))
    assert sorted(p.name for p in (tmp_path / "mem").iterdir()) == sorted(expected)
    for file in written:
        tensor = expected[file.name]
        text = file.read_text(encoding="ascii")
        assert read_mem(text, tensor.bits, tensor.signed) == tensor.values.ravel().tolist()
        assert text.count("\n") == tensor.values.size + 1


def test_mem_lines_are_as_wide_as_the_element(sample_bundle: Bundle) -> None:
    texts = dict(mem_texts(sample_bundle.graph))
    tables = texts["stem.weights.tables.mem"].splitlines()
    conv = sample_bundle.graph.convs[0]
    assert tables[0] == "// stem:weights.tables: signed 5 bits, TE [8,16], C order"
    assert tables[1] == f"{int(conv.weights.tables[0, 0]) % 32:02x}"
    assert texts["stem.requant.multiplier.mem"].splitlines()[1] == (
        f"{int(conv.requant.multiplier[0]):05x}"
    )


def c_program(graph: QGraph) -> tuple[str, list[int]]:
    """A program that prints every element of every tensor, and what it has to print."""
    stems = unique_stems([n.name for n in graph.nodes])
    lines, expected = ['#include <stdio.h>\n#include "nibbleflow_graph.h"\nint main(void) {'], []
    for tensor in graph_tensors(graph):
        name = f"nf_{stems[tensor.node]}_{tensor.field.replace('.', '_')}"
        upper = name.upper()
        lines.append(
            f"  for (size_t i = 0; i < {upper}_COUNT; ++i) {upper}_SIGNED\n"
            f'    ? printf("%ld\\n", (long)nf_signed({name}, i, {upper}_BITS))\n'
            f'    : printf("%lu\\n", (unsigned long)nf_unsigned({name}, i, {upper}_BITS));'
        )
        expected += tensor.values.ravel().tolist()
        for axis, size in zip(tensor.axes, tensor.values.shape, strict=True):
            lines.append(f'  printf("%d\\n", {upper}_DIM_{axis});')
            expected.append(size)
    lines.append("  puts(NIBBLEFLOW_GRAPH_DIGEST);\n  return 0;\n}")
    return "\n".join(lines), expected


@pytest.mark.skipif(not (shutil.which("gcc") and shutil.which("g++")), reason="needs gcc and g++")
@pytest.mark.parametrize(
    "compiler", [["gcc", "-std=c99"], ["g++", "-std=c++11", "-x", "c++"]], ids=["c99", "c++"]
)
@pytest.mark.parametrize("graph", [sample_graph(4), awkward_graph()], ids=["sample", "awkward"])
def test_compiled_headers_hold_every_element(
    graph: QGraph, tmp_path: Path, compiler: list[str]
) -> None:
    export_c(graph, tmp_path / "c")
    program, expected = c_program(graph)
    (tmp_path / "main.c").write_text(program)
    binary = tmp_path / "main"
    sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover"]
    command = [*compiler, *WARNINGS, *sanitize, "-I", str(tmp_path / "c")]
    subprocess.run([*command, str(tmp_path / "main.c"), "-o", str(binary)], check=True)
    result = subprocess.run([binary], capture_output=True, text=True, check=True)
    *numbers, digest = result.stdout.split()
    assert [int(n) for n in numbers] == expected
    assert digest == graph.digest


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")
def test_each_header_compiles_alone(tmp_path: Path) -> None:
    for file in export_c(sample_graph(4), tmp_path / "c"):
        (tmp_path / "one.c").write_text(f'#include "{file.name}"\nint main(void) {{ return 0; }}')
        subprocess.run(
            ["gcc", "-std=c99", *WARNINGS, "-fsyntax-only", "-I", str(tmp_path / "c"), "one.c"],
            check=True,
            cwd=tmp_path,
        )


def test_texts_are_the_same_every_time() -> None:
    graph, again = sample_graph(6), sample_graph(6)
    assert list(c_texts(graph)) == list(c_texts(again))
    assert list(mem_texts(graph)) == list(mem_texts(again))


def test_requantizer_constants_are_macros() -> None:
    conv, source = sample_conv(1, 3, 6, table=True, names=("conv", "x"))
    graph = QGraph("one", (Input("x", (3, 6, 7), source), conv, Output("out", "conv")))
    text = dict(c_texts(graph))["nf_conv.h"]
    assert "#define NF_CONV_REQUANT_CODE_BITS 10\n" in text
    assert "#define NF_CONV_REQUANT_CODE_HIGH 1023\n" in text
    assert f"#define NF_CONV_REQUANT_CODE_ZERO_POINT {conv.requant.zero_point[0]}\n" in text


def test_signed_extremes(tmp_path: Path) -> None:
    conv, source = sample_conv(1, 3, 6)
    bias = np.array([-(2**31), 2**31 - 1, -1, 0, 1, 2], np.int64)
    codes = np.zeros_like(conv.weights.codes)
    tables = np.zeros_like(conv.weights.tables)
    tables[:, -1], tables[:, -2] = 31, -31
    weights = replace(conv.weights, codes=codes, tables=tables)
    node = replace(conv, weights=weights, bias=bias)
    graph = QGraph("edge", (Input("x", (3, 6, 7), source), node, Output("out", "conv")))
    texts = dict(mem_texts(graph))
    assert texts["conv.bias.mem"].split("\n")[1:3] == ["80000000", "7fffffff"]
    assert read_mem(texts["conv.bias.mem"], 32, True) == bias.tolist()


@pytest.mark.parametrize("export", [export_mem, export_c])
def test_existing_folder(export: object, tmp_path: Path) -> None:
    assert callable(export)
    folder = tmp_path / "out"
    first = export(sample_graph(1), folder)
    message = f"'{folder}' exists; choose another folder or replace it with --force"
    with pytest.raises(BundleError, match=f"^{re.escape(message)}$"):
        export(sample_graph(1), folder)
    assert export(sample_graph(1), folder, force=True) == first
    assert all(file.is_file() for file in first)


def test_stems_are_unique_identifiers() -> None:
    names = ["a.b", "a_b", "A.B", "0", "n_0", "a_b_1", "é", "", "_x"]
    stems = unique_stems(names)
    assert list(stems) == names
    assert len({s.lower() for s in stems.values()}) == len(names)
    assert all(re.fullmatch("[A-Za-z][A-Za-z0-9_]*", s) for s in stems.values())
