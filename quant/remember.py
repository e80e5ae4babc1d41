# SPDX-License-Identifier: Apache-2.0
"""Results that belong to an immutable object and are asked for again and again."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

Subject = TypeVar("Subject")
Others = ParamSpec("Others")
Found = TypeVar("Found")


def remembered(
    function: Callable[Concatenate[Subject, Others], Found],
) -> Callable[Concatenate[Subject, Others], Found]:
    """Return ``function`` with its results kept for as long as their first argument lives.

    The first argument is known by identity, so it must be one of the immutable classes that
    compare so; the others must be hashable. Planning asks for the widths of one layer under
    hundreds of foldings, and they follow from millions of weights.
    """
    known: WeakKeyDictionary[Subject, dict[object, Found]] = WeakKeyDictionary()

    @wraps(function)
    def once(subject: Subject, /, *others: Others.args, **named: Others.kwargs) -> Found:
        results = known.setdefault(subject, {})
        key = (others, tuple(sorted(named.items())))
        if key not in results:
            results[key] = function(subject, *others, **named)
        return results[key]

    return once
