# SPDX-License-Identifier: Apache-2.0
"""The face: the command line and the verbs as functions; no arithmetic of its own.

``nibbleflow.quantize("demo", output="build/demo")`` does what ``nibbleflow quantize demo -o
build/demo`` does and returns a ``Result`` whose ``values`` are the JSON. Verbs load what they need
when they are first used, so that ``import nibbleflow`` stays quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nibbleflow.verbs.check import check
    from nibbleflow.verbs.compare import compare
    from nibbleflow.verbs.demo import demo
    from nibbleflow.verbs.detect import detect
    from nibbleflow.verbs.doctor import doctor
    from nibbleflow.verbs.evaluate import evaluate
    from nibbleflow.verbs.explore import explore
    from nibbleflow.verbs.export import export
    from nibbleflow.verbs.generate import generate
    from nibbleflow.verbs.quantize import quantize
    from nibbleflow.verbs.report import report
    from nibbleflow.verbs.study import study
    from nibbleflow.verbs.synth import synth
    from nibbleflow.verbs.vectors import vectors
    from nibbleflow.verbs.verify import verify

__all__ = [
    "check",
    "compare",
    "demo",
    "detect",
    "doctor",
    "evaluate",
    "explore",
    "export",
    "generate",
    "quantize",
    "report",
    "study",
    "synth",
    "vectors",
    "verify",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the type checker sees the imports above
    """Load a verb when it is first used."""
    if name in __all__:
        return getattr(import_module(f"nibbleflow.verbs.{name}"), name)
    raise AttributeError(f"module 'nibbleflow' has no verb '{name}'")
