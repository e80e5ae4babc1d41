# SPDX-License-Identifier: Apache-2.0
"""Tensors of many images at one place of the network: in memory up to a limit, then on disk."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

MEMORY_LIMIT_BYTES = 1 << 30


class Spool:
    """Holds one tensor per key and image; what does not fit in memory lies in files."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        """Prepare.

        Args:
            folder: Where files go.
            limit_bytes: Most that tensors may take in memory, together.
        """
        self._folder = folder
        self._limit = limit_bytes
        self._held = 0
        self._kept: dict[tuple[str, int], torch.Tensor | Path] = {}
        self._written = 0

    def put(self, key: str, image: int, tensor: torch.Tensor) -> None:
        """Hold a tensor; float32, any shape."""
        size = tensor.numel() * tensor.element_size()
        if self._held + size <= self._limit:
            self._held += size
            self._kept[key, image] = tensor.cpu()
            return
        path = self._folder / f"{self._written}.pt"
        self._written += 1
        torch.save(tensor.cpu(), path)
        self._kept[key, image] = path

    def get(self, key: str, image: int) -> torch.Tensor:
        """Return a tensor that is held, on the processor."""
        found = self._kept[key, image]
        if isinstance(found, Path):
            loaded: torch.Tensor = torch.load(found, weights_only=True)
            return loaded
        return found

    def drop(self, key: str, images: int) -> None:
        """Forget the tensors of a key, of every image."""
        for image in range(images):
            found = self._kept.pop((key, image), None)
            if isinstance(found, Path):
                found.unlink()
            elif found is not None:
                self._held -= found.numel() * found.element_size()


@contextmanager
def spool(folder: Path | None, limit_bytes: int = MEMORY_LIMIT_BYTES) -> Iterator[Spool]:
    """Yield an empty spool whose files vanish at the end.

    Args:
        folder: Where to put its files; the system's place for such without one.
        limit_bytes: Most that tensors may take in memory.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix="spool-") as scratch:
        yield Spool(Path(scratch), limit_bytes)
