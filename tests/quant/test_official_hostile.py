# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that mean harm, and damaged ones: nothing runs, nothing but our errors comes out."""

import contextlib
import io
import os
import pickle
import re
import time
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from quant.errors import InputFileError, QuantizationError, UnsupportedLayerError
from quant.zoo.official import load_official
from quant.zoo.pickle_reader import read_pickle
from quant.zoo.pickle_records import Record

REFUSED = (InputFileError, UnsupportedLayerError)


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def archive(path, data, entries=(), method=zipfile.ZIP_STORED):
    """Write a file such as torch.save's around a pickle."""
    with zipfile.ZipFile(path, "w", method) as new:
        new.writestr("archive/data.pkl", data)
        for name, content in entries:
            new.writestr(name, content)
    return path


def calls(sentinel):
    """Objects that make the file ``sentinel`` when any usual unpickler reads them."""
    code = f"open({str(sentinel)!r}, 'w').close()"
    return {
        "posix.system": Call(os.system, f"touch '{sentinel}'"),
        "builtins.eval": Call(eval, code),
        "builtins.exec": Call(exec, code),
        "posix.mkdir": Call(os.mkdir, str(sentinel)),
    }


@pytest.mark.parametrize(
    "wanted", ["posix.system", "builtins.eval", "builtins.exec", "posix.mkdir"]
)
@pytest.mark.parametrize("nested", [False, True])
def test_calls_are_refused_by_name(tmp_path, wanted, nested):
    sentinel = tmp_path / "sentinel"
    value = calls(sentinel)[wanted]
    if nested:  # inside the arguments of a call that is allowed, inside a hook, inside a list
        value = {"model": [Call(torch.Size, (Call(set, [value]),))], "ema": None}
    # protocol 3 and above write builtins, protocol 2 __builtin__
    for protocol in (2, 4):
        data = pickle.dumps({"model": value}, protocol)
        path = archive(tmp_path / "net.pt", data)
        with pytest.raises(InputFileError) as caught:
            load_official(path)
        assert str(caught.value) == (
            f"'{path}': checkpoint wants '{wanted}'; only tensors and plain records are read; "
            "convert it to safetensors in its own environment"
        )
        assert not sentinel.exists()
    # the weapon is loaded: another reader would have fired it
    with contextlib.suppress(TypeError):
        pickle.loads(data)
    assert sentinel.exists()


def test_a_call_inside_a_module_is_refused(tmp_path):
    sentinel = tmp_path / "sentinel"
    model = nn.Sequential(nn.Conv2d(3, 3, 1))
    model[0].hook = Call(os.system, f"touch '{sentinel}'")
    torch.save({"model": model}, tmp_path / "net.pt")
    with pytest.raises(InputFileError, match=r"checkpoint wants 'posix.system'; only tensors"):
        load_official(tmp_path / "net.pt")
    assert not sentinel.exists()


@pytest.mark.parametrize(
    "text",
    [
        b"cos\nsystem\n(S'true'\ntR.",  # protocol 0
        b"\x80\x02cmodels.yolo\nos.system\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"\x80\x02ctorch.nn.modules.os\nsystem.x\n.",
        b"\x80\x02cmodels.common_\nConv\n.",
        b"\x80\x02ctorch.hub\nload\n.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor\n.",
        b"\x80\x02cbuiltins\n\x1b[31m\n.",
    ],
)
def test_other_names_are_refused(text):
    with pytest.raises(InputFileError, match=r"checkpoint wants '[ -~]+'; only tensors"):
        read_pickle(text, lambda key: 0)


def test_allowed_names_stay_names(tmp_path):
    """A class whose own code would run on the way in stays silent, also where it is imported."""
    import sys
    import types

    sentinel = tmp_path / "sentinel"
    modules = {n: types.ModuleType(n) for n in ("models", "models.common")}

    class Trap:
        __module__ = "models.common"
        __qualname__ = "Trap"

        def __new__(cls):
            sentinel.touch()
            return super().__new__(cls)

        def __setstate__(self, state):
            sentinel.touch()

        def __del__(self):
            sentinel.touch()

    modules["models.common"].Trap = Trap
    trap = object.__new__(Trap)
    trap.mark = 7
    with pytest.MonkeyPatch.context() as patch:
        for name, module in modules.items():
            patch.setitem(sys.modules, name, module)
        data = pickle.dumps(trap, 2)
        read = read_pickle(data, lambda key: 0)
        assert not sentinel.exists()
        pickle.loads(data)
        assert sentinel.exists()
    assert isinstance(read, Record)
    assert (read.path, read.state) == ("models.common.Trap", {"mark": 7})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "pickle exhausted before seeing STOP|not enough data|empty"),
        (b"\x80\x02.", "an object is missing"),
        (b"\x80\x02K\x01K\x02.", "objects are left over"),
        (b"\x80\x02(K\x01.", "objects are left over"),
        (b"\x80\x02K\x01.x", "1 bytes follow its end"),
        (b"\x80\x02h\x05.", "it has no object 5 yet"),
        (b"\x80\x02t.", "a mark is missing"),
        (b"\x80\x02K\x01)R.", "it calls what is no class"),
        (b"\x80\x02ctorch\nSize\nK\x01R.", "it calls what is no class"),
        (b"\x80\x02ctorch\nSize\n)R.", "torch.Size has 0 arguments"),
        (b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.", "OrderedDict has 1 arguments"),
        (b"\x80\x02]}b.", "it gives attributes to a list"),
        (b"\x80\x02cmodels.yolo\nModel\n}b.", "it gives attributes to a ClassPath"),
        (b"\x80\x02cmodels.yolo\nModel\n)\x81}b}b.", "attributes to a Record that takes none"),
        (b"\x80\x02}K\x01a.", "it appends to a dict"),
        (b"\x80\x02]K\x01K\x02s.", "it sets items of a list"),
        (b"\x80\x02}(K\x01u.", "it sets items of a dict"),
        (b"\x80\x02}](K\x01e.", "objects are left over"),
        (b"\x80\x02}]K\x01s.", "a key is a list"),
        (b"\x80\x02}\x8a\x09" + bytes(8) + b"\x7fK\x01s.", "a key is a int"),
        (b"\x80\x04\x8f(]\x90.", "a key is a list"),
        (b"\x80\x02K\x01Q.", "a storage is not told as torch tells it"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.", "a tensor has no storage"),
        (b"\x80\x02ctorch._utils\n_rebuild_parameter\nK\x01\x85R.", "a parameter has no tensor"),
        (b"\x80\x04K\x01\x8c\x01a\x93.", "a class name is no text"),
        (b"\x80\x02\x82\x01.", "uses opcode EXT1, which torch does not write"),
        (b"\x80\x02Pkey\n.", "uses opcode PERSID"),
        (b"\x80\x05\x97.", "uses opcode NEXT_BUFFER"),
        (b"\x80\x02X\xff\xff\xff\x7fab.", "expected 2147483647 bytes"),
        (b"\x80\x04\x8d" + b"\xff" * 8 + b"ab.", "damaged"),
        (b"\x80\x02X\x02\x00\x00\x00\xff\xfe.", "damaged"),
    ],
)
def test_pickles_that_make_no_sense(text, message):
    with pytest.raises(InputFileError, match=message):
        read_pickle(text, lambda key: 0)


class Tensors(pickle.Pickler):
    """Writes storages as torch does, with whatever numbers a test wants."""

    def persistent_id(self, value):
        return value if isinstance(value, tuple) and value[:1] == ("storage",) else None


@pytest.mark.parametrize(
    ("storage", "offset", "size", "stride", "message"),
    [
        ((torch.FloatStorage, "0", "cpu", 4), 0, (2, 2), (2, 1), None),
        ((torch.FloatStorage, "0", "cpu", 4), 4, (0, 3), (3, 1), None),
        ((torch.FloatStorage, "0", "cpu", 4), 3, (), (), None),
        ((torch.FloatStorage, "0", "cpu", 4), 1, (2, 2), (2, 1), "reaches outside its storage"),
        ((torch.FloatStorage, "0", "cpu", 4), 0, (2, 2), (3, 1), "reaches outside its storage"),
        ((torch.FloatStorage, "0", "cpu", 4), 5, (0,), (1,), "reaches outside its storage"),
        ((torch.FloatStorage, "0", "cpu", 4), 0, (1 << 50,), (0,), "reaches outside its storage"),
        ((torch.FloatStorage, "0", "cpu", 4), -1, (2,), (1,), "do not belong together"),
        ((torch.FloatStorage, "0", "cpu", 4), True, (2,), (1,), "do not belong together"),
        ((torch.FloatStorage, "0", "cpu", 4), 0, (2,), (1, 1), "do not belong together"),
        ((torch.FloatStorage, "0", "cpu", 4), 0, (-2,), (1,), "no whole numbers"),
        ((torch.FloatStorage, "0", "cpu", 4), 3, (3,), (-1,), "no whole numbers"),
        ((torch.FloatStorage, "0", "cpu", 4), 0, [2], (1,), "no tuple of at most 8"),
        ((torch.FloatStorage, "0", "cpu", 4), 0, (1,) * 9, (1,) * 9, "no tuple of at most 8"),
        ((torch.FloatStorage, "0", "cpu", 5), 0, (2,), (1,), "has 16 bytes, not 5 times 4"),
        ((torch.HalfStorage, "0", "cpu", 4), 0, (2,), (1,), "has 16 bytes, not 4 times 2"),
        ((torch.FloatStorage, "0", "cpu", -4), 0, (2,), (1,), "has 16 bytes, not -4 times 4"),
        ((torch.FloatStorage, "1", "cpu", 4), 0, (2,), (1,), "lacks storage '1'"),
        ((torch.FloatStorage, "../byteorder", "cpu", 4), 0, (2,), (1,), "lacks storage"),
        ((torch.Size, "0", "cpu", 4), 0, (2,), (1,), "not told as torch tells it"),
    ],
)
def test_tensors_stay_inside_their_storages(tmp_path, storage, offset, size, stride, message):
    rebuild = torch._utils._rebuild_tensor_v2
    value = Call(rebuild, ("storage", *storage), offset, size, stride, False, {})
    out = io.BytesIO()
    Tensors(out, 2).dump({"model": value})
    path = archive(tmp_path / "net.pt", out.getvalue(), [("archive/data/0", bytes(16))])
    wanted = message or "'model' holds weights without a network"  # the tensor itself was fine
    with pytest.raises(InputFileError, match=wanted):
        load_official(path)


def test_shared_storages_do_not_multiply(tmp_path, official, small_yolov5):
    """Many tensors in one storage would cost more memory than the file is long."""

    def change(model):
        shared = torch.zeros(50_000)
        for number in range(40):
            model.model[0].register_buffer(f"more{number}", shared[:49_000])

    official.write(tmp_path / "net.pt", small_yolov5, change)
    with pytest.raises(InputFileError, match=r"tensors have \d+ elements in \d+ bytes"):
        load_official(tmp_path / "net.pt")


def test_bombs_are_refused(tmp_path):
    path, data = tmp_path / "net.pt", pickle.dumps({"model": None}, 2)
    archive(path, data, [("archive/data/0", bytes(50_000_000))], zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    message = r"'archive/data.pkl' is packed|'archive/data/0' is packed \(\d+ bytes for 50000000\)"
    with pytest.raises(InputFileError, match=message):
        load_official(path)
    # entries laid over each other: nine names in the table of contents show the same bytes
    archive(path, data, [(f"archive/data/{i}", bytes(0 if i else 100_000)) for i in range(9)])
    whole = bytearray(path.read_bytes())
    tables = [found.start() for found in re.finditer(b"PK\x01\x02", whole)]
    assert len(tables) == 10
    for table in tables[2:]:
        for start, end in ((16, 28), (42, 46)):  # checksum and sizes, place
            whole[table + start : table + end] = whole[tables[1] + start : tables[1] + end]
    path.write_bytes(whole)
    with pytest.raises(InputFileError, match=r"unpacks to \d+ bytes, more than its own"):
        load_official(path)


def test_archives_that_torch_does_not_write(tmp_path, monkeypatch):
    path, data = tmp_path / "net.pt", pickle.dumps({"model": None}, 2)
    for name, message in (
        ("archive/../x", "has an entry 'archive/../x' outside its folder"),
        ("/etc/passwd", "has an entry '/etc/passwd' outside its folder"),
        ("archive//x", "outside its folder"),
        ("archive\\..\\x", "outside its folder"),
        ("x", "has an entry 'x' outside its folder"),
        ("other/x", "has no one folder with data.pkl"),
        ("archive/byteorder", "not written on a little-endian machine"),
    ):
        archive(path, data, [(name, b"big")])
        with pytest.raises(InputFileError, match=message):
            load_official(path)
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive(path, data, [("archive/data.pkl", data)])
    with pytest.raises(InputFileError, match=r"has two entries 'archive/data.pkl'"):
        load_official(path)
    with zipfile.ZipFile(path, "w") as new:
        new.writestr("archive/code.py", "")
    with pytest.raises(InputFileError, match=r"a zip archive but not of torch\.save"):
        load_official(path)
    archive(path, data)
    monkeypatch.setattr("quant.zoo.torch_archive.MAX_ENTRIES", 0)
    with pytest.raises(InputFileError, match="has 1 entries, at most 0 are read"):
        load_official(path)
    monkeypatch.undo()
    monkeypatch.setattr("quant.zoo.torch_archive.MAX_PICKLE_BYTES", 8)
    with pytest.raises(InputFileError, match=r"its pickle has \d+ bytes, at most 8 are read"):
        load_official(path)


def test_deep_and_endless_values_end(tmp_path, official, small_yolov5):
    """Nesting a million deep, an object that holds itself, and doubling all stay small."""
    deep = b"\x80\x02" + b"]" * 300_000 + b"a" * 299_999 + b"."
    assert isinstance(read_pickle(deep, lambda key: 0), list)
    with pytest.raises(InputFileError, match="more than 2000000 opcodes"):
        read_pickle(b"\x80\x02" + b"N" * 2_000_001 + b".", lambda key: 0)

    def doubled(model):
        names = ["cat"]
        for _ in range(40):
            names = [names, names]
        model.yaml["extra"] = names

    def looped(model):
        model.yaml["extra"] = model.yaml

    def module_doubled(model):
        child = nn.Sequential(nn.ReLU())
        for _ in range(10):
            child = nn.Sequential(*[child] * 6)
        model.model[0].more = child

    def module_looped(model):
        model.model[0]._modules["more"] = model

    for change, message in (
        (doubled, r"description \(yaml\) is too large or nested too deep"),
        (looped, r"description \(yaml\) is too large or nested too deep"),
        (module_doubled, "modules are more than 20000 or nested deeper than 12"),
        (module_looped, "modules are more than 20000 or nested deeper than 12"),
    ):
        started = time.monotonic()
        official.write(tmp_path / "net.pt", small_yolov5, change)
        with pytest.raises(InputFileError, match=message):
            load_official(tmp_path / "net.pt")
        assert time.monotonic() - started < 20


def try_to_load(path):
    """Load; only our errors may come out. Return whether it loaded."""
    try:
        load_official(path, (32, 32))
    except (*REFUSED, QuantizationError) as error:
        message = str(error)
    else:
        return True
    assert message.isprintable(), message  # one line
    assert str(path) in message
    return False


def test_truncated_files_are_refused(tmp_path, official, small_yolov5):
    path = tmp_path / "net.pt"
    official.write(path, small_yolov5)
    whole = path.read_bytes()
    assert try_to_load(path)
    lengths = {*range(0, len(whole), len(whole) // 200), *range(len(whole) - 100, len(whole))}
    for length in lengths:
        path.write_bytes(whole[:length])
        with pytest.raises(InputFileError, match=r"truncated or damaged|no archive of torch\.save"):
            load_official(path)


def test_a_flipped_weight_is_noticed(tmp_path, official, small_yolov5):
    path = tmp_path / "net.pt"
    official.write(path, small_yolov5)
    with zipfile.ZipFile(path) as whole:
        entry = next(i for i in whole.infolist() if i.filename.endswith("/data/0"))
        start = path.read_bytes().index(whole.read(entry))
    data = bytearray(path.read_bytes())
    data[start + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputFileError, match=r"entry 'data/0' is damaged: Bad CRC-32 .* copy it"):
        load_official(path)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    """A place for a damaged file, with the entries of a sound one."""
    return tmp_path_factory.mktemp("fuzz") / "net.pt"


FUZZ = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@FUZZ
@given(data=st.data())
def test_any_flipped_bits_give_our_errors_or_load(official, small_yolov5, fuzzed, data):
    sound = sound_file(official, small_yolov5, fuzzed)
    damaged = bytearray(sound.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        # half of them in the headers at the end, few in the long storages
        back = data.draw(st.booleans())
        place = data.draw(st.integers(0, 6000 if back else len(damaged) - 1))
        damaged[-1 - place if back else place] ^= 1 << data.draw(st.integers(0, 7))
    fuzzed.write_bytes(damaged)
    try_to_load(fuzzed)


@FUZZ
@given(data=st.data())
def test_any_damage_to_the_pickle_gives_our_errors_or_loads(official, small_yolov5, fuzzed, data):
    """As above behind a true checksum, so that the damage comes as far as it can."""
    sound = sound_file(official, small_yolov5, fuzzed)
    with zipfile.ZipFile(sound) as old:
        entries = [(i.filename, old.read(i)) for i in old.infolist()]
    text = bytearray(next(c for n, c in entries if n.endswith("/data.pkl")))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text) - 1))
        kind = data.draw(st.sampled_from(["flip", "set", "drop", "insert", "copy"]))
        if kind == "flip":
            text[place] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "set":
            text[place] = data.draw(st.integers(0, 255))
        elif kind == "drop":
            del text[place : place + data.draw(st.integers(1, 8))]
        elif kind == "insert":
            text[place:place] = data.draw(st.binary(min_size=1, max_size=6))
        else:
            start = data.draw(st.integers(0, len(text) - 1))
            text[place:place] = text[start : start + 20]
    with zipfile.ZipFile(fuzzed, "w") as new:
        for name, content in entries:
            new.writestr(name, bytes(text) if name.endswith("/data.pkl") else content)
    try_to_load(fuzzed)


def sound_file(official, value, beside):
    path = beside.with_name("sound.pt")
    if not path.exists():
        official.write(path, value)
        assert try_to_load(path)
    return path
