# SPDX-License-Identifier: Apache-2.0
"""A board of the user's own: a TOML file.

name = "my-board"
part = "xczu5ev"
family = "ultrascale+"          # 7-series, ultrascale+, versal or ecp5
lut = 117_120
ff = 234_240
dsp = 1_248
bram36 = 144
uram = 64
external_mb_per_s = 19_200      # memory on the board; 0: there is none
clock_mhz = 200
ultra_initial_contents = false  # may be left out
"""

import tomllib
from pathlib import Path
from typing import Any, get_args

from hw.device import Device, Family
from quant.errors import InputFileError

BOARD_FILE_SUFFIX = ".toml"
_TEXTS = ("name", "part", "family")
# Per number the least that makes a board.
_NUMBERS = {
    "lut": 1,
    "ff": 1,
    "dsp": 0,
    "bram36": 0,
    "uram": 0,
    "external_mb_per_s": 0,
    "clock_mhz": 1,
}
_FLAG = "ultra_initial_contents"


def read_device(path: Path) -> Device:
    """Return the board that ``path`` describes.

    Raises:
        InputFileError: The file cannot be read, is not TOML, lacks a key, has one too many, or a
            value is of another type or too small.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputFileError(f"board file {path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputFileError(f"board file {path} is not TOML: {error}") from None
    needed = (*_TEXTS, *_NUMBERS)
    missing = [key for key in needed if key not in content]
    if missing:
        raise InputFileError(
            f"board file {path} lacks {', '.join(missing)}; it needs {', '.join(needed)}"
        )
    unknown = [key for key in content if key not in (*needed, _FLAG)]
    if unknown:
        raise InputFileError(
            f"board file {path} has {', '.join(unknown)}; known are {', '.join((*needed, _FLAG))}"
        )
    for key in _TEXTS:
        if not isinstance(content[key], str) or not content[key]:
            raise InputFileError(f"board file {path}: {key} is {content[key]!r}; write text")
    if content["family"] not in get_args(Family):
        raise InputFileError(
            f"board file {path}: family is {content['family']!r}; known are "
            f"{', '.join(get_args(Family))}"
        )
    if type(content.get(_FLAG, False)) is not bool:
        raise InputFileError(
            f"board file {path}: {_FLAG} is {content[_FLAG]!r}; write true or false"
        )
    numbers = {key: _number(content[key], key, least, path) for key, least in _NUMBERS.items()}
    return Device(
        name=content["name"],
        part=content["part"],
        family=content["family"],
        lut=numbers["lut"],
        ff=numbers["ff"],
        dsp=numbers["dsp"],
        bram36=numbers["bram36"],
        uram=numbers["uram"],
        external_bytes_per_second=numbers["external_mb_per_s"] * 1_000_000,
        clock_hz=numbers["clock_mhz"] * 1_000_000,
        ultra_initial_contents=content.get(_FLAG, False),
    )


def _number(value: Any, key: str, least: int, path: Path) -> int:  # noqa: ANN401 - parsed TOML
    if type(value) is not int or value < least:
        raise InputFileError(
            f"board file {path}: {key} is {value!r}; it must be a whole number from {least} up"
        )
    return value
