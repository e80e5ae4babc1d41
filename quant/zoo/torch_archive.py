# SPDX-License-Identifier: Apache-2.0
"""Opens the zip archive that ``torch.save`` writes, and refuses archives that it never writes.

torch stores every entry as it is, so an honest archive unpacks to less than its own size; that one
rule leaves no room for zip bombs, neither packed nor with entries laid over each other.
"""

import struct
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from quant.errors import InputFileError

MAX_ENTRIES = 20_000
MAX_PICKLE_BYTES = 16 << 20
_NEW_COPY = "copy it again"
# Everything that zipfile raises at bytes that are no sound archive.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    struct.error,
)


class TorchArchive:
    """An opened archive, ``with TorchArchive(path) as archive``.

    Attributes:
        path: The file.
        size: Its size in bytes.
    """

    def __init__(self, path: Path) -> None:
        """Open the archive and check its table of contents.

        Args:
            path: The file.

        Raises:
            InputFileError: The file is missing, truncated, of another kind, or no archive that
                ``torch.save`` writes.
        """
        if not path.is_file():
            raise InputFileError(f"checkpoint '{path}' does not exist; give a .pt file")
        self.path = path
        self.size = path.stat().st_size
        self._check_magic()
        try:
            self._zip = zipfile.ZipFile(path)
        except _ZIP_ERRORS as error:
            raise InputFileError(
                f"checkpoint '{path}' ({self.size} bytes) is truncated or damaged: "
                f"{_line(error)}; {_NEW_COPY}"
            ) from None
        try:
            self._entries = self._check_entries(self._zip.infolist())
            self._check_byte_order()
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._zip.close()

    def pickle_bytes(self) -> bytes:
        """Return the pickle that says what the checkpoint holds.

        Raises:
            InputFileError: It is damaged or too long.
        """
        size = self._entries["data.pkl"].file_size
        if size > MAX_PICKLE_BYTES:
            raise InputFileError(
                f"checkpoint '{self.path}': its pickle has {size} bytes, at most "
                f"{MAX_PICKLE_BYTES} are read; save the model without its training state"
            )
        return self._read("data.pkl")

    def storage_bytes(self, key: str) -> int:
        """Return the size in bytes of a storage.

        Raises:
            InputFileError: The archive has no such storage.
        """
        entry = self._entries.get(f"data/{key}")
        if entry is None:
            raise InputFileError(
                f"checkpoint '{self.path}' lacks storage {key[:40]!r}; {_NEW_COPY}"
            )
        return entry.file_size

    def storage(self, key: str, dtype: torch.dtype) -> Tensor:
        """Return a storage as a flat tensor.

        Args:
            key: Name of the storage, a number.
            dtype: Type of its elements; their size divides the storage's.

        Raises:
            InputFileError: The archive has no such storage, or it is damaged.
        """
        if self.storage_bytes(key) == 0:
            return torch.empty(0, dtype=dtype)
        return torch.frombuffer(bytearray(self._read(f"data/{key}")), dtype=dtype)

    def _check_magic(self) -> None:
        """Tell the other formats of torch from damaged files."""
        with self.path.open("rb") as file:
            start = file.read(512)
        if start[:4] == b"PK\x03\x04":
            return
        way_out = (
            "load it in its own environment and save it again with torch 1.6 or newer, or convert "
            "it to safetensors there"
        )
        if start[:1] == b"\x80" or start[257:262] == b"ustar":
            kind = "tar" if start[257:262] == b"ustar" else "pickle"
            raise InputFileError(
                f"checkpoint '{self.path}' is in torch's old {kind} format, only zip archives are "
                f"read; {way_out}"
            )
        raise InputFileError(
            f"checkpoint '{self.path}' ({self.size} bytes) is no archive of torch.save; "
            "give a .pt file that torch.save wrote"
        )

    def _check_entries(self, infos: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
        """Return the entries by name below the archive's one folder."""
        where = f"checkpoint '{self.path}'"
        if len(infos) > MAX_ENTRIES:
            raise InputFileError(
                f"{where} has {len(infos)} entries, at most {MAX_ENTRIES} are read; "
                "save the model without its training state"
            )
        entries: dict[str, zipfile.ZipInfo] = {}
        folders: set[str] = set()
        for info in infos:
            folder, _, name = info.filename.partition("/")
            parts = info.filename.split("/")
            if not name or ".." in parts or "" in parts[:-1] or "\\" in info.filename:
                raise InputFileError(
                    f"{where} has an entry {info.filename[:80]!r} outside its folder; "
                    "torch writes none, do not use this file"
                )
            if name in entries:
                raise InputFileError(
                    f"{where} has two entries {info.filename[:80]!r}; torch writes none, do not "
                    "use this file"
                )
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise InputFileError(
                    f"{where}: entry {info.filename[:80]!r} is packed ({info.compress_size} bytes "
                    f"for {info.file_size}), torch stores entries as they are; give the file that "
                    "torch.save wrote"
                )
            entries[name] = info
            folders.add(folder)
        total = sum(info.file_size for info in infos)
        if total > self.size:
            raise InputFileError(
                f"{where} unpacks to {total} bytes, more than its own {self.size}; "
                "it is no honest archive, do not use this file"
            )
        if len(folders) != 1 or "data.pkl" not in entries:
            raise InputFileError(
                f"{where} is a zip archive but not of torch.save: it has no one folder with "
                "data.pkl; give a .pt file that torch.save wrote"
            )
        return entries

    def _check_byte_order(self) -> None:
        if "byteorder" in self._entries and self._read("byteorder") != b"little":
            raise InputFileError(
                f"checkpoint '{self.path}' was not written on a little-endian machine; "
                "convert it to safetensors there"
            )

    def _read(self, name: str) -> bytes:
        info = self._entries[name]
        try:
            data = self._zip.read(info)
        except _ZIP_ERRORS as error:
            raise InputFileError(
                f"checkpoint '{self.path}': entry {name[:80]!r} is damaged: {_line(error)}; "
                f"{_NEW_COPY}"
            ) from None
        if len(data) != info.file_size:
            raise InputFileError(
                f"checkpoint '{self.path}': entry {name[:80]!r} has {len(data)} of "
                f"{info.file_size} bytes; {_NEW_COPY}"
            )
        return data


def _line(error: Exception) -> str:
    """Return what an error says as one short line without control characters."""
    return ascii(str(error) or type(error).__name__)[1:-1][:120]
