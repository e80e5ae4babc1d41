# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow doctor``: its options."""

from nibbleflow.cli.options import JsonFile
from nibbleflow.cli.running import run


def doctor(json: JsonFile = None) -> None:
    """Say what can run here and what each tool is needed for."""
    run("doctor", {}, json, None)
