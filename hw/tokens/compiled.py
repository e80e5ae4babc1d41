# SPDX-License-Identifier: Apache-2.0
"""Functions on integer arrays, compiled to machine code on their first call.

Nothing is allocated inside and no reference is counted: counting one for every array and call would
take most of the time. The code is kept beside the source or, when that folder is read-only, in the
user's cache; where neither can be written, every process compiles again.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Return ``function`` compiled by numba; only compiled functions may be called inside."""
    try:
        ready = numba.njit(cache=True, _nrt=False)(function)
    except RuntimeError:  # no folder for the cache can be written
        ready = numba.njit(_nrt=False)(function)
    return cast(Callable[P, R], ready)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Return ``function`` to be compiled into its callers."""
    return cast(Callable[P, R], numba.njit(forceinline=True, _nrt=False)(function))
