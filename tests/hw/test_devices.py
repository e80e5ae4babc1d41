# SPDX-License-Identifier: Apache-2.0
"""Boards that are known, and boards from files."""

import pytest

from hw.devices import DEVICES, find_device
from quant.errors import InputFileError, PlanError

FILE = """\
name = "mine"
part = "xczu5ev"
family = "ultrascale+"
lut = 117_120
ff = 234_240
dsp = 1_248
bram36 = 144
uram = 64
external_mb_per_s = 19_200
clock_mhz = 250
"""


def test_boards():
    assert list(DEVICES) == [
        "pynq-z2",
        "ultra96",
        "kv260",
        "zcu104",
        "zcu102",
        "u250",
        "u280",
        "vck190",
        "ulx3s",
        "colorlight-i5",
    ]
    assert find_device("ZCU104").uram == 96
    assert find_device("zcu104").bram18 == 624
    with pytest.raises(PlanError) as caught:
        find_device("zcu1")
    assert str(caught.value) == (
        "there is no board 'zcu1'; known boards: pynq-z2, ultra96, kv260, zcu104, zcu102, u250, "
        "u280, vck190, ulx3s, colorlight-i5; or describe it in a file, --board FILE.toml"
    )


def test_functions_of_six_inputs():
    assert find_device("kv260").six_input_luts == 117_120
    assert find_device("ulx3s").six_input_luts == 20_910


def test_board_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(FILE)
    board = find_device(str(path))
    assert (board.name, board.family, board.lut, board.bram18) == (
        "mine",
        "ultrascale+",
        117_120,
        288,
    )
    assert (board.clock_hz, board.external_bytes_per_second) == (250_000_000, 19_200_000_000)
    assert not board.ultra_initial_contents
    path.write_text(FILE + "ultra_initial_contents = true\n")
    assert find_device(str(path)).ultra_initial_contents


KEYS = "name, part, family, lut, ff, dsp, bram36, uram, external_mb_per_s, clock_mhz"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            FILE.replace("uram", "uram ="),
            "is not TOML: Invalid value (at line 8, column 8)",
        ),
        (
            FILE.replace("lut = 117_120\n", "").replace("dsp = 1_248\n", ""),
            f"lacks lut, dsp; it needs {KEYS}",
        ),
        (FILE + "price = 3\n", f"has price; known are {KEYS}, ultra_initial_contents"),
        (FILE.replace("144", "-1"), ": bram36 is -1; it must be a whole number from 0 up"),
        (FILE.replace("117_120", "0"), ": lut is 0; it must be a whole number from 1 up"),
        (FILE.replace("250", "2.5"), ": clock_mhz is 2.5; it must be a whole number from 1 up"),
        (FILE.replace("64", "true"), ": uram is True; it must be a whole number from 0 up"),
        (FILE.replace('"mine"', "7"), ": name is 7; write text"),
        (
            FILE.replace("ultrascale+", "max10"),
            ": family is 'max10'; known are 7-series, ultrascale+, versal, ecp5",
        ),
        (
            FILE + "ultra_initial_contents = 1\n",
            ": ultra_initial_contents is 1; write true or false",
        ),
    ],
)
def test_bad_board_file(tmp_path, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InputFileError) as caught:
        find_device(str(path))
    gap = "" if message.startswith(":") else " "
    assert str(caught.value) == f"board file {path}{gap}{message}"


def test_board_file_that_is_not_there(tmp_path):
    path = tmp_path / "none.toml"
    with pytest.raises(InputFileError) as caught:
        find_device(str(path))
    assert str(caught.value) == f"board file {path} cannot be read: No such file or directory"
