# SPDX-License-Identifier: Apache-2.0
"""Everything that is not exactly a bundle is refused with one whole, clear line."""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from quant.bundle import Bundle, load_bundle, pack, save_bundle
from quant.bundle.text import render
from quant.errors import BundleError
from quant.samples import sample_graph

AGAIN = "restore the file or quantize the model again"
TENSORS = "tensors.safetensors"
Json = dict[str, Any]
Edit = Callable[[Json], object]


def refuse(folder: Path, message: str) -> None:
    with pytest.raises(BundleError, match=f"^{re.escape(message)}$") as caught:
        load_bundle(folder)
    assert "\n" not in str(caught.value)


def forge(folder: Path, edit: Edit) -> None:
    """Edit the JSON and make its checksum right again: a well-formed bundle that lies."""
    file = folder / "graph.json"
    body = json.loads(file.read_text())
    edit(body)
    body.pop("checksum", None)
    file.write_text(render(body))


def node(body: Json, name: str) -> Json:
    found: Json = next(n for n in body["graph"]["nodes"] if n["name"] == name)
    return found


def at(folder: Path) -> str:
    return f"'{folder / 'graph.json'}'"


# Files


def test_no_folder(tmp_path: Path) -> None:
    refuse(
        tmp_path / "x",
        f"bundle '{tmp_path / 'x'}' does not exist; make it with nibbleflow quantize",
    )


@pytest.mark.parametrize("name", ["graph.json", TENSORS])
def test_missing_file(saved_bundle: Path, name: str) -> None:
    (saved_bundle / name).unlink()
    refuse(saved_bundle, f"'{saved_bundle / name}' is missing; {AGAIN}")


@pytest.mark.parametrize("name", ["graph.json", TENSORS])
def test_folder_in_place_of_a_file(saved_bundle: Path, name: str) -> None:
    (saved_bundle / name).unlink()
    (saved_bundle / name).mkdir()
    refuse(saved_bundle, f"'{saved_bundle / name}' cannot be read: Is a directory")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_truncated_json(saved_bundle: Path, share: float) -> None:
    file = saved_bundle / "graph.json"
    raw = file.read_bytes()
    file.write_bytes(raw[: int(len(raw) * share)])
    refuse(saved_bundle, f"'{file}' is no complete JSON text; {AGAIN}")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[" * 100_000, b'{"a": NaN}', b"9" * 5000])
def test_bytes_that_are_no_json(saved_bundle: Path, content: bytes) -> None:
    file = saved_bundle / "graph.json"
    file.write_bytes(content)
    refuse(saved_bundle, f"'{file}' is no complete JSON text; {AGAIN}")


@pytest.mark.parametrize("content", ["[]", "3", "{}", '{"format": "onnx"}'])
def test_foreign_json(saved_bundle: Path, content: str) -> None:
    file = saved_bundle / "graph.json"
    file.write_text(content)
    refuse(
        saved_bundle,
        f"'{file}' is JSON but no nibbleflow-bundle; name the bundle folder of a build",
    )


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_tensors(saved_bundle: Path, share: float) -> None:
    file = saved_bundle / TENSORS
    raw = file.read_bytes()[: int(file.stat().st_size * share)]
    file.write_bytes(raw)
    refuse(saved_bundle, f"'{file}' is no complete safetensors file ({len(raw):,} bytes); {AGAIN}")


def test_a_pickle_in_place_of_the_tensors_is_not_executed(
    saved_bundle: Path, tmp_path: Path
) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "executed",))

    file = saved_bundle / TENSORS
    np.save(tmp_path / "trap.npy", np.array([Trap()], object), allow_pickle=True)
    raw = (tmp_path / "trap.npy").read_bytes()
    file.write_bytes(raw)
    refuse(saved_bundle, f"'{file}' is no complete safetensors file ({len(raw):,} bytes); {AGAIN}")
    assert not (tmp_path / "executed").exists()


def test_foreign_safetensors(saved_bundle: Path) -> None:
    file = saved_bundle / TENSORS
    file.write_bytes(save({"model.0.weight": np.zeros((2, 2), np.float32)}))
    first = min(json.loads((saved_bundle / "graph.json").read_text())["tensors"])
    refuse(
        saved_bundle,
        f"'{file}' has no tensor '{first}', it belongs to another graph.json; {AGAIN}",
    )


def test_one_tensor_too_many(saved_bundle: Path) -> None:
    file = saved_bundle / TENSORS
    file.write_bytes(save({**load(file.read_bytes()), "zz": np.zeros(1, np.uint8)}))
    refuse(
        saved_bundle,
        f"'{file}' has a tensor 'zz' too many, it belongs to another graph.json; {AGAIN}",
    )


def test_tensors_of_another_bundle(
    saved_bundle: Path, sample_bundle: Bundle, tmp_path: Path
) -> None:
    save_bundle(sample_graph(77), sample_bundle.host, sample_bundle.record, tmp_path / "other")
    (tmp_path / "other" / TENSORS).rename(saved_bundle / TENSORS)
    with pytest.raises(BundleError, match=r"was changed after it was written|recorded are"):
        load_bundle(saved_bundle)


def test_tensor_of_another_type(saved_bundle: Path) -> None:
    file = saved_bundle / TENSORS
    streams = load(file.read_bytes())
    size = streams["stem:bias"].size
    streams["stem:bias"] = streams["stem:bias"].view(np.int8)
    file.write_bytes(save(streams))
    refuse(
        saved_bundle,
        f"'{file}': tensor 'stem:bias' is int8 [{size}], recorded are {size} bytes; {AGAIN}",
    )


@pytest.mark.parametrize("position", [0.3, 0.6, 0.9])
def test_edited_tensors(saved_bundle: Path, position: float) -> None:
    file = saved_bundle / TENSORS
    raw = bytearray(file.read_bytes())
    header = 8 + int.from_bytes(raw[:8], "little")
    offset = header + int((len(raw) - header) * position)
    raw[offset] ^= 0x10
    file.write_bytes(raw)
    names = json.loads(raw[8:header])
    changed = next(
        name
        for name, entry in names.items()
        if name != "__metadata__"
        and entry["data_offsets"][0] <= offset - header < entry["data_offsets"][1]
    )
    refuse(
        saved_bundle,
        f"'{file}': tensor '{changed}' was changed after it was written (its sha256 differs); "
        f"{AGAIN}",
    )


def test_every_edited_character_of_the_json_is_noticed(saved_bundle: Path) -> None:
    """Any value of the description, from the stride of a node to a class name."""
    file = saved_bundle / "graph.json"
    text = file.read_text()
    for old, new in (
        ('"stride": [2, 2]', '"stride": [2, 1]'),
        ('"low": 0', '"low": 1'),
        ("0.015625", "0.015626"),
        ("person", "parson"),
        ("18.25", "18.26"),
        ('"checksum": "', '"checksum": "0'),
    ):
        assert old in text
        file.write_text(text.replace(old, new, 1))
        refuse(
            saved_bundle,
            f"'{file}' was edited after it was written (its checksum differs); {AGAIN}",
        )
    file.write_text(text.replace("[2, 2]", "[2,    2]"))
    load_bundle(saved_bundle)  # layout is no content


# Well-formed bundles that lie


def test_newer_version(saved_bundle: Path) -> None:
    forge(saved_bundle, lambda b: b.update(version=3))
    refuse(
        saved_bundle,
        f"{at(saved_bundle)} has bundle version 3; this program reads 2; update nibbleflow",
    )


def test_weights_alone_are_no_graph(saved_bundle: Path) -> None:
    forge(saved_bundle, lambda b: b.update(version=2))
    refuse(
        saved_bundle,
        f"{at(saved_bundle)} is of kind weights: its activations are float, so there is no integer "
        "network; quantize again without --weights-only",
    )


@pytest.mark.parametrize("version", [0, -1, "1", 1.0, True, None])
def test_impossible_version(saved_bundle: Path, version: object) -> None:
    forge(saved_bundle, lambda b: b.update(version=version))
    refuse(saved_bundle, f"{at(saved_bundle)} has bundle version {version!r}; needed 1; {AGAIN}")


@pytest.mark.parametrize("part", ["graph_digest", "graph", "tensors", "host", "record"])
def test_missing_part(saved_bundle: Path, part: str) -> None:
    forge(saved_bundle, lambda b: b.pop(part))
    refuse(saved_bundle, f"{at(saved_bundle)} has no part '{part}'; {AGAIN}")


def test_missing_checksum(saved_bundle: Path) -> None:
    file = saved_bundle / "graph.json"
    body = json.loads(file.read_text())
    del body["checksum"]
    file.write_text(json.dumps(body))
    refuse(saved_bundle, f"'{file}' has no part 'checksum'; {AGAIN}")


def test_unknown_part(saved_bundle: Path) -> None:
    forge(saved_bundle, lambda b: b.update(extra=1))
    refuse(saved_bundle, f"{at(saved_bundle)} has an unknown part 'extra'; {AGAIN}")


@pytest.mark.parametrize("part", ["graph", "tensors", "host", "record"])
def test_part_of_another_kind(saved_bundle: Path, part: str) -> None:
    forge(saved_bundle, lambda b: b.update({part: [1]}))
    refuse(saved_bundle, f"{at(saved_bundle)}: part '{part}' is no object; {AGAIN}")


def test_wrong_graph_digest(saved_bundle: Path, sample_bundle: Bundle) -> None:
    forge(saved_bundle, lambda b: b.update(graph_digest="0" * 64))
    refuse(
        saved_bundle,
        f"{at(saved_bundle)}: the graph's digest is {sample_bundle.graph.digest[:12]}, "
        f"recorded is 000000000000; {AGAIN}",
    )


LIES: list[tuple[str, Edit, str]] = [
    (
        "unknown node kind",
        lambda b: node(b, "pool").update(kind="Softmax"),
        "nodes[8] is of kind 'Softmax', which this program does not know; it knows Input, Conv, "
        "Linear, MaxPool, AvgPool, Add, Concat, Split, Upsample, Requantize, Lookup, Output",
    ),
    ("no kind", lambda b: node(b, "pool").pop("kind"), "nodes[8] has no kind"),
    (
        "extra field of a node",
        lambda b: node(b, "pool").update(dilation=[2, 2]),
        "nodes[8] has an unknown field 'dilation'",
    ),
    (
        "missing field of a node",
        lambda b: node(b, "pool").pop("stride"),
        "nodes[8] has no field 'stride'",
    ),
    (
        "extra field of weights",
        lambda b: node(b, "stem")["weights"].update(zero=1),
        "nodes[1].weights has an unknown field 'zero'",
    ),
    (
        "text for a number",
        lambda b: node(b, "up").update(factor="2"),
        "nodes[7].factor is '2', no int",
    ),
    (
        "truth for a number",
        lambda b: node(b, "up").update(factor=True),
        "nodes[7].factor is True, no int",
    ),
    (
        "fraction for a number",
        lambda b: node(b, "up").update(factor=2.0),
        "nodes[7].factor is 2.0, no int",
    ),
    (
        "three strides",
        lambda b: node(b, "pool").update(stride=[1, 1, 1]),
        "nodes[8].stride has 3 entries; needed 2",
    ),
    (
        "one stride",
        lambda b: node(b, "pool").update(stride=1),
        "nodes[8].stride is 1, no list",
    ),
    (
        "unknown granularity",
        lambda b: node(b, "stem")["weights"].update(granularity="row"),
        "nodes[1].weights.granularity is 'row', none of layer, filter, channel, f-shape, c-shape",
    ),
    (
        "unknown scheme",
        lambda b: node(b, "stem")["weights"].update(scheme="ternary"),
        "nodes[1].weights.scheme is 'ternary', none of affine, symmetric, pwlq, codebook",
    ),
    (
        "null weights",
        lambda b: node(b, "stem").update(weights=None),
        "nodes[1].weights is no object",
    ),
    (
        "numbers in place of a tensor",
        lambda b: node(b, "stem").update(bias=[1, 2]),
        'nodes[1].bias must be {"tensor": name} or {"fill": number}',
    ),
    (
        "fill in place of codes",
        lambda b: node(b, "stem")["weights"].update(codes={"fill": 0}),
        "nodes[1].weights.codes must be a tensor of four axes OIHW",
    ),
    (
        "fill in place of the bias",
        lambda b: node(b, "stem").update(bias={"fill": 0}),
        "nodes[1].bias must name a tensor",
    ),
    (
        "fill beyond every width",
        lambda b: node(b, "stem")["requant"].update(zero_point={"fill": 65536}),
        "nodes[1].requant.zero_point is filled with 65536; limit 0..65535",
    ),
    (
        "tensor that is not there",
        lambda b: node(b, "stem").update(bias={"tensor": "stem:offset"}),
        "tensor 'stem:offset' is not listed",
    ),
    (
        "tensor of another type",
        lambda b: node(b, "stem").update(bias={"tensor": "stem:requant.shift"}),
        "nodes[1].bias is tensor 'stem:requant.shift' of uint8, no int64",
    ),
    (
        "tensor of another layer",
        lambda b: node(b, "stem").update(bias={"tensor": "grouped:bias"}),
        "'stem' does not name its own tensors",
    ),
    (
        "scale of text",
        lambda b: node(b, "stem")["weights"].update(scale=["1"]),
        "nodes[1].weights.scale is no list of numbers",
    ),
    (
        "scale beyond float32",
        lambda b: node(b, "stem")["weights"].update(scale=[1e39]),
        "nodes[1].weights.scale has a number beyond float32",
    ),
    (
        "scale beyond everything",
        lambda b: node(b, "stem")["weights"].update(scale=[10**400]),
        "nodes[1].weights.scale has a number beyond float32",
    ),
    (
        "tensor shape of another size",
        lambda b: b["tensors"]["stem:weights.codes"].update(shape=[8, 3, 3, 4]),
        "tensor 'stem:weights.codes' of shape [8, 3, 3, 4] and 4 bits needs 144 bytes, "
        "there are 108",
    ),
    (
        "tensor shape of equal size",
        lambda b: b["tensors"]["stem:weights.codes"].update(shape=[3, 8, 3, 3]),
        "nodes[1].weights: filter-wise groups of (3, 8, 3, 3) need selectors and multipliers of "
        "shape (3, 1, 1, 1), got (8, 1, 1, 1) and (3, 1, 1, 1)",
    ),
    (
        "tensor of a negative shape",
        lambda b: b["tensors"]["stem:weights.codes"].update(shape=[-8, -3, 3, 3]),
        "tensor 'stem:weights.codes' has shape [-8, -3, 3, 3]",
    ),
    (
        "tensor of no width",
        lambda b: b["tensors"]["stem:weights.codes"].update(bits=0),
        "tensor 'stem:weights.codes' has bits 0 and signed False",
    ),
    (
        "tensor of an unknown type",
        lambda b: b["tensors"]["stem:weights.codes"].update(dtype="object"),
        "tensor 'stem:weights.codes' has dtype 'object'",
    ),
    (
        "tensor too wide for its type",
        lambda b: b["tensors"]["stem:weights.codes"].update(bits=16, shape=[2, 3, 3, 3]),
        "tensor 'stem:weights.codes': elements of 0..65535 do not fit uint8",
    ),
    (
        "tensor with other axes",
        lambda b: b["tensors"]["stem:weights.codes"].update(axes="IOHW"),
        "tensor 'stem:weights.codes' has axes 'IOHW'; needed 'OIHW'",
    ),
    (
        "tensor of another packing",
        lambda b: b["tensors"]["stem:bias"].update(packing="high nibble first"),
        "tensor 'stem:bias' has packing 'high nibble first'; needed 'C order, low bit first'",
    ),
    (
        "tensor with an extra field",
        lambda b: b["tensors"]["stem:bias"].update(note="x"),
        "tensor 'stem:bias' has an unknown field 'note'",
    ),
    (
        "table taken away",
        lambda b: node(b, "stem").update(table=None),
        "graph: 'stem' requantizes to 10 bits but its output has 8",
    ),
    (
        "graph that cannot be built",
        lambda b: node(b, "up").update(source="sky"),
        "graph: 'up' reads 'sky', which no earlier node makes",
    ),
    (
        "weights that break the contract",
        lambda b: node(b, "stem")["weights"].update(bits=3),
        "nodes[1].weights: weight code 15 does not fit 3 bits",
    ),
    (
        "scale that is no number of the machine",
        lambda b: node(b, "image")["output"]["ranges"][0].update(scale=10**400),
        "nodes[0].output.ranges[0].scale is beyond every double",
    ),
    ("nodes that are no list", lambda b: b["graph"].update(nodes={}), "graph.nodes is no list"),
    ("graph without a name", lambda b: b["graph"].pop("name"), "graph has no field 'name'"),
    ("host without strides", lambda b: b["host"].pop("strides"), "host has no field 'strides'"),
    (
        "host of another decode",
        lambda b: b["host"].update(decode="ssd"),
        "host.decode is 'ssd', none of yolov5, yolov6, yolov7, yolox, classify, none",
    ),
    (
        "host out of range",
        lambda b: b["host"].update(pad_value=256),
        "host: host pad_value 256 must be a byte, 0..255",
    ),
    (
        "host with text for a number",
        lambda b: b["host"]["anchors"][0][1].__setitem__(0, "16"),
        "host.anchors[0][1][0] is '16', no float",
    ),
    (
        "record of another kind",
        lambda b: b["record"].update(kind="float"),
        "record.kind is 'float', none of integer, weights",
    ),
    (
        "record with an unknown layer field",
        lambda b: b["record"]["layers"][1].update(map=50),
        "record.layers[1] has an unknown field 'map'",
    ),
    (
        "record with a list of settings",
        lambda b: b["record"].update(settings=[]),
        "record.settings is no object",
    ),
]


@pytest.mark.parametrize(
    ("edit", "message"), [lie[1:] for lie in LIES], ids=[lie[0] for lie in LIES]
)
def test_lies(saved_bundle: Path, edit: Edit, message: str) -> None:
    forge(saved_bundle, edit)
    refuse(saved_bundle, f"{at(saved_bundle)}: {message}; {AGAIN}")


def forge_tensor(folder: Path, name: str, stream: np.ndarray, **entry: object) -> None:
    """Replace one tensor and its description, checksums included."""
    file = folder / TENSORS
    file.write_bytes(save({**load(file.read_bytes()), name: stream}))
    digest = hashlib.sha256(stream.tobytes()).hexdigest()
    forge(
        folder,
        lambda b: b["tensors"][name].update(sha256=digest, bytes=int(stream.size), **entry),
    )


def test_tensor_that_no_node_stores(saved_bundle: Path) -> None:
    file = saved_bundle / TENSORS
    stream = load(file.read_bytes())["stem:bias"]
    file.write_bytes(save({**load(file.read_bytes()), "up:bias": stream}))
    forge(saved_bundle, lambda b: b["tensors"].update({"up:bias": b["tensors"]["stem:bias"]}))
    refuse(
        saved_bundle,
        f"{at(saved_bundle)}: tensor 'up:bias' is listed but no node stores it so; {AGAIN}",
    )


def test_padding_bits_of_a_tensor(saved_bundle: Path) -> None:
    name = "stem:requant.multiplier"
    stream = load((saved_bundle / TENSORS).read_bytes())[name]
    assert stream.size == 17
    forge_tensor(saved_bundle, name, stream[:-1].copy(), shape=[7], bits=17)
    stream_7 = stream[:15].copy()
    stream_7[-1] |= 0x80
    forge_tensor(saved_bundle, name, stream_7, shape=[7], bits=17)
    refuse(
        saved_bundle,
        f"{at(saved_bundle)}: tensor '{name}': the 1 unused bits of the last byte are not 0; "
        f"{AGAIN}",
    )


def test_tensor_stored_wider_than_needed(saved_bundle: Path, sample_bundle: Bundle) -> None:
    shift = sample_bundle.graph.convs[0].requant.shift
    forge_tensor(saved_bundle, "stem:requant.shift", pack(shift, 8, False), bits=8)
    refuse(
        saved_bundle,
        f"{at(saved_bundle)}: tensor 'stem:requant.shift' has bits 8; needed 6; {AGAIN}",
    )


def test_values_that_the_contract_refuses(saved_bundle: Path, sample_bundle: Bundle) -> None:
    shift = sample_bundle.graph.convs[0].requant.shift.copy()
    shift[2] = 48
    forge_tensor(saved_bundle, "stem:requant.shift", pack(shift, 6, False))
    refuse(
        saved_bundle,
        f"{at(saved_bundle)}: nodes[1].requant: requantize shift {shift.min()}..48 must be in "
        f"[1, 47]; {AGAIN}",
    )


def test_digest_notices_a_forged_weight(saved_bundle: Path, sample_bundle: Bundle) -> None:
    codes = sample_bundle.graph.convs[0].weights.codes.copy()
    codes[0, 0, 0, 0] ^= 1
    forge_tensor(saved_bundle, "stem:weights.codes", pack(codes, 4, False))
    with pytest.raises(BundleError, match=r"the graph's digest is [0-9a-f]{12}, recorded is "):
        load_bundle(saved_bundle)


def test_one_line_reaches_the_user(saved_bundle: Path) -> None:
    """A whole process: no traceback of another exception behind the refusal."""
    (saved_bundle / "graph.json").write_text("{")
    program = (
        "import sys; from pathlib import Path; from quant.bundle import load_bundle\n"
        "from quant.errors import NibbleflowError\n"
        "try: load_bundle(Path(sys.argv[1]))\n"
        "except NibbleflowError as e: print(e)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(saved_bundle)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == f"'{saved_bundle / 'graph.json'}' is no complete JSON text; {AGAIN}\n"
