# SPDX-License-Identifier: Apache-2.0
"""Functions on integer arrays, compiled to machine code on their first call.

Nothing is allocated inside and no reference is counted: counting one for every array and call would
take most of the time. The code is kept in the cache, in a folder named by the sources of this
package: numba alone would look at the file of the outermost function only and call old code after
a change in another. Where the cache cannot be written, every process compiles again.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

import numba

from quant.caches import cache_root

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Return ``function`` compiled by numba; only compiled functions may be called inside."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(cache_root() / f"numba-{sources_digest()}")
    try:
        ready = numba.njit(cache=True, _nrt=False)(function)
    except (RuntimeError, OSError):  # the folder cannot be written
        ready = numba.njit(_nrt=False)(function)
    finally:
        numba.config.CACHE_DIR = before
    return cast(Callable[P, R], ready)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Return ``function`` to be compiled into its callers."""
    return cast(Callable[P, R], numba.njit(forceinline=True, _nrt=False)(function))


@cache
def sources_digest() -> str:
    """Return a digest of the texts of this package, 16 hexadecimal digits."""
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
