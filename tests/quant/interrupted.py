# SPDX-License-Identifier: Apache-2.0
"""Runs that are stopped in the middle."""

from contextlib import contextmanager


class Stopped(Exception):
    pass


def stopping(what, after):
    """Bars that stop the run when a stage named ``what`` has advanced ``after`` times."""

    @contextmanager
    def bars(name, total):
        count = 0

        def advance(steps):
            nonlocal count
            count += steps
            if what in name and steps and count >= after:
                raise Stopped

        yield advance

    return bars
