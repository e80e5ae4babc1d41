# SPDX-License-Identifier: Apache-2.0
"""Results kept per object."""

import gc

from quant.remember import remembered


class Subject:
    pass


def test_once_per_object_and_arguments():
    calls = []

    @remembered
    def count(subject: Subject, step: int, *, twice: bool = False) -> int:
        calls.append((subject, step))
        return len(calls)

    first, second = Subject(), Subject()
    assert [count(first, 1), count(first, 1), count(first, 2), count(second, 1)] == [1, 1, 2, 3]
    assert count(first, 1, twice=True) == 4
    assert count(first, 1) == 1


def test_nothing_outlives_its_object():
    seen = []

    class Noted(Subject):
        def __del__(self) -> None:
            seen.append("gone")

    @remembered
    def answer(subject: Subject) -> int:
        return 42

    assert answer(Noted()) == 42
    gc.collect()
    assert seen == ["gone"]
