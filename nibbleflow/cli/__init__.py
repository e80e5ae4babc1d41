# SPDX-License-Identifier: Apache-2.0
"""The command line: one command per verb, one line per error, real exit codes.

Every command is one module here; ``COMMANDS`` is their order in ``--help``.
"""

import typer

from nibbleflow.cli.check import check
from nibbleflow.cli.compare import compare
from nibbleflow.cli.demo import demo
from nibbleflow.cli.detect import detect
from nibbleflow.cli.doctor import doctor
from nibbleflow.cli.evaluate import evaluate
from nibbleflow.cli.explore import explore
from nibbleflow.cli.export import export
from nibbleflow.cli.generate import generate
from nibbleflow.cli.quantize import quantize
from nibbleflow.cli.repeat import repeat
from nibbleflow.cli.report import report
from nibbleflow.cli.running import run_app
from nibbleflow.cli.study import study
from nibbleflow.cli.synth import synth
from nibbleflow.cli.vectors import vectors
from nibbleflow.cli.verify import verify

__all__ = ["main"]

COMMANDS = (
    doctor,
    demo,
    check,
    quantize,
    evaluate,
    detect,
    generate,
    export,
    verify,
    vectors,
    compare,
    report,
    synth,
    study,
    explore,
    repeat,
)

app = typer.Typer(
    name="nibbleflow",
    help="From a float YOLO detector to a bit-exact streaming int4 accelerator.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _command in COMMANDS:
    app.command()(_command)


def main() -> None:
    """Run the command line; user errors are one line and exit code 1."""
    run_app(app)
