# SPDX-License-Identifier: Apache-2.0
"""Names of projects: C++ identifiers that nothing else in the generated sources has."""

import re

from quant.errors import PlanError

# Words that a project cannot be called: C++ keywords, and names that the generated sources use.
_KEYWORDS = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char class
    compl const const_cast constexpr continue decltype default delete do double
    dynamic_cast else enum explicit export extern false float for friend goto if inline
    int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private
    protected public register reinterpret_cast return short signed sizeof static
    static_assert static_cast struct switch template this thread_local throw true try
    typedef typeid typename union unsigned using virtual void volatile wchar_t while xor
    xor_eq config2 frame hls input_t result_stream main nf nnet parameters defines result_t
    std
"""
_RESERVED = frozenset(_KEYWORDS.split())


def project_name(name: str) -> str:
    """Return a C identifier for a node or graph: ``nibble_`` and its name, rest replaced."""
    return "nibble_" + re.sub(r"[^0-9a-z]+", "_", name.lower()).strip("_")


def check_project_name(name: str) -> str:
    """Return ``name``.

    Raises:
        PlanError: It is not a free C++ identifier.
    """
    if not re.fullmatch(r"[A-Za-z][0-9A-Za-z_]*", name) or name in _RESERVED:
        raise PlanError(
            f"HLS project name '{name}' is not a free C++ identifier; use '{project_name(name)}'"
        )
    return name
