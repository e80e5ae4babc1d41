# SPDX-License-Identifier: Apache-2.0
"""``nibbleflow demo``: the whole way on the built-in detector."""

import shutil
import tempfile
from pathlib import Path

from nibbleflow.progress import result_console
from nibbleflow.repeat import RUN_FILE_SUFFIX, write_run
from nibbleflow.result import Result
from nibbleflow.verbs.detect import detect
from nibbleflow.verbs.evaluate import evaluate
from nibbleflow.verbs.generate import generate
from nibbleflow.verbs.quantize import quantize
from nibbleflow.verbs.report import report
from nibbleflow.verbs.verify import verify
from quant.zoo.shapes import HELD_OUT_SEED, write_shapes

EVALUATED_IMAGES = 100
SHOWN_IMAGE = 7


def demo(build: str | Path = "build/demo", *, force: bool = False) -> Result:
    """Quantize the built-in detector to int4 weights, generate hardware, verify, report.

    Args:
        build: Build folder to make.
        force: Whether an existing one may be replaced.

    Returns:
        The verification's result, with the accuracy under ``accuracy``, the picture's path under
        ``picture`` and the page's under ``page``.

    Raises:
        NibbleflowError: The build exists without ``force``, or a tool is missing.
    """
    console = result_console()
    path = Path(build)

    def step(title: str, result: Result) -> Result:
        console.rule(title, align="left")
        console.print(result.table())
        return result

    step("1  quantize: float to int4 weights, 8-bit activations", quantize(
        "demo", output=path, force=force
    ))  # fmt: skip
    accuracy = step(
        f"2  evaluate: {EVALUATED_IMAGES} held-out images", evaluate(path, limit=EVALUATED_IMAGES)
    )
    step("3  generate: SystemVerilog and HLS C++", generate(path))
    console.rule("4  verify: numpy, torch, HLS C++ cells, whole-network RTL", align="left")
    verified = verify(path)
    console.print(verified.table())
    # The page says how it is made again; the command line writes the same once the demo has ended.
    write_run(path / f"demo{RUN_FILE_SUFFIX}", "demo", {"build": path, "force": force})
    reported = step("5  report: tables, plots, one page", report(path))
    with tempfile.TemporaryDirectory() as scratch:
        write_shapes(Path(scratch), SHOWN_IMAGE + 1, HELD_OUT_SEED, (160, 160))
        image = sorted(Path(scratch).glob("*.png"))[SHOWN_IMAGE]
        kept = path / "report" / "image.png"
        shutil.copyfile(image, kept)
        found = step("6  detect", detect(path, kept))
    extra = {
        "accuracy": {k: accuracy.values[k] for k in ("images", "float", "fake_quant", "integer")},
        "picture": found.values["picture"],
        "page": reported.values.get("page"),
    }
    # Again what counts: the last line of the verification.
    return Result("demo", {**verified.values, **extra}, verified.parts[-1:], ok=verified.ok)
