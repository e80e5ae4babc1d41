# SPDX-License-Identifier: Apache-2.0
"""Reading images: complete files only."""

import os
import struct
import zlib

import cv2
import numpy as np
import pytest

from quant.errors import InputFileError
from sim.host import list_images, read_image


def picture(height=48, width=64):
    """A noisy picture, so that its coded data is long enough to cut."""
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)


def jpeg_bytes(*flags):
    return cv2.imencode(".jpg", picture(), list(flags))[1].tobytes()


def png_bytes():
    return cv2.imencode(".png", picture())[1].tobytes()


def with_thumbnail(jpeg):
    """The file with an application segment that itself holds a complete JPEG."""
    inner = b"Thumb\x00" + cv2.imencode(".jpg", picture(8, 8))[1].tobytes()
    return jpeg[:2] + b"\xff\xe5" + struct.pack(">H", len(inner) + 2) + inner + jpeg[2:]


def test_png_is_read_exactly(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png_bytes())
    assert np.array_equal(read_image(path), picture())


@pytest.mark.parametrize("flags", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)], ids=["base", "prog"])
def test_jpeg_is_read_as_opencv_reads_it(tmp_path, flags):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_bytes(*flags))
    assert np.array_equal(read_image(path), cv2.imread(str(path)))


def test_content_not_name_decides(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(png_bytes())
    assert np.array_equal(read_image(path), picture())


def test_grey_becomes_three_equal_channels(tmp_path):
    path = tmp_path / "grey.png"
    grey = picture()[:, :, 0]
    path.write_bytes(cv2.imencode(".png", grey)[1].tobytes())
    assert np.array_equal(read_image(path), np.stack([grey] * 3, axis=2))


def test_bytes_after_the_end_marker_are_allowed(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_bytes() + b"camera notes")
    assert read_image(path).shape == (48, 64, 3)


@pytest.mark.parametrize("kind", ["jpeg", "progressive", "restarts", "thumbnail", "png"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.999])
def test_cut_file_is_refused(tmp_path, kind, share):
    data = {
        "jpeg": jpeg_bytes,
        "progressive": lambda: jpeg_bytes(cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "restarts": lambda: jpeg_bytes(cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
        "thumbnail": lambda: with_thumbnail(jpeg_bytes()),
        "png": png_bytes,
    }[kind]()
    path = tmp_path / "cut.img"
    path.write_bytes(data)
    assert read_image(path).shape == (48, 64, 3)
    size = int(len(data) * share)
    path.write_bytes(data[:size])
    with pytest.raises(InputFileError) as info:
        read_image(path)
    assert str(info.value) == f"image {path} is truncated or damaged after {size} bytes; replace it"


def test_flipped_png_byte_is_refused(tmp_path):
    data = bytearray(png_bytes())
    data[len(data) // 2] ^= 1
    path = tmp_path / "a.png"
    path.write_bytes(bytes(data))
    with pytest.raises(InputFileError, match="truncated or damaged"):
        read_image(path)


def test_undecodable_png_is_refused(tmp_path):
    body = b"IHDR" + struct.pack(">IIBBBBB", 0, 0, 8, 2, 0, 0, 0)  # zero pixels, valid checksum
    chunks = [body, b"IEND"]
    data = b"\x89PNG\r\n\x1a\n"
    for chunk in chunks:
        data += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with pytest.raises(InputFileError) as info:
        read_image(path)
    assert str(info.value) == (f"image {path} is damaged: its pixels cannot be decoded; replace it")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "image {} is empty (0 bytes); replace it"),
        (b"GIF89a....", "image {} is neither JPEG nor PNG; convert it to one of them"),
        (b"\xff\xd8\xff\xd9", "image {} is truncated or damaged after 4 bytes; replace it"),
        (b"\xff\xd8" + b"\xff" * 9, "image {} is truncated or damaged after 11 bytes; replace it"),
    ],
)
def test_other_files_are_refused(tmp_path, data, message):
    path = tmp_path / "x.jpg"
    path.write_bytes(data)
    with pytest.raises(InputFileError) as info:
        read_image(path)
    assert str(info.value) == message.format(path)


def test_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(InputFileError) as info:
        read_image(tmp_path / "no.jpg")
    assert str(info.value) == (
        f"image {tmp_path / 'no.jpg'} does not exist; give the path of a file"
    )
    with pytest.raises(InputFileError, match=r"cannot be read: Is a directory; give a readable"):
        read_image(tmp_path)


def test_list_is_sorted_and_skips_other_files(tmp_path):
    for name in ("b.JPG", "a.png", "c.jpeg", "labels.json"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    assert [p.name for p in list_images(tmp_path)] == ["a.png", "b.JPG", "c.jpeg"]


def test_empty_or_absent_folder_is_an_error(tmp_path):
    with pytest.raises(InputFileError, match=r"holds no image; put \.jpg, \.jpeg, \.png files"):
        list_images(tmp_path)
    with pytest.raises(InputFileError, match="is not a folder; give an existing one"):
        list_images(tmp_path / os.devnull.strip("/"))
