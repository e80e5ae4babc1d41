# SPDX-License-Identifier: Apache-2.0
"""Writes an hls4ml tree with our files: whole or not at all, the same bytes every time."""

import contextlib
import hashlib
import io
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hls.layer import Layer
from hls.model import Target, check_written, model_graph
from hls.streams import Stream
from quant.errors import PlanError


@contextlib.contextmanager
def fresh_folder(directory: Path) -> Iterator[Path]:
    """Give a scratch folder that appears as ``directory`` when the block ends without an error.

    Raises:
        PlanError: ``directory`` exists.
    """
    if directory.exists():
        raise PlanError(
            f"HLS project folder '{directory.name}' exists; remove it or choose another"
        )
    directory.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        yield scratch
        scratch.chmod(0o755)  # mkdtemp makes it private
        scratch.replace(directory)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def write_tree(
    folder: Path,
    name: str,
    source: tuple[str, Stream],
    layers: Sequence[Layer],
    outputs: Sequence[str],
    files: Mapping[str, str],
    target: Target,
) -> None:
    """Let hls4ml write its tree into ``folder``, then add our files.

    Args:
        folder: An existing folder.
        name: Project name.
        source: Name and stream of the input port.
        layers: All layers.
        outputs: Names of the layers that are output ports.
        files: Text of our own files by path inside the project.
        target: Backend, part and clock.

    Raises:
        PlanError: A memory style does not exist in the backend.
        ToolError: hls4ml is not installed, or changed or dropped a layer.
    """
    printed = io.StringIO()
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        model = model_graph(name, *source, layers, outputs, folder, target)
        model.write()
    check_written((folder / "firmware" / f"{name}.cpp").read_text(encoding="utf-8"), layers)
    for path, text in files.items():
        (folder / path).write_text(text, encoding="utf-8")
    (folder / "tb_data").mkdir(exist_ok=True)
    # hls4ml draws a random stamp and notes its output folder: same input, same bytes, no path of
    # this machine.
    stamp = str(model.config.get_config_value("Stamp"))
    for script in (folder / "build_lib.sh", folder / "hls4ml_config.yml"):
        written = script.read_text(encoding="utf-8")
        # YAML quotes a stamp that happens to look like a number.
        written = written.replace(f"'{stamp}'", stamp).replace(stamp, digest_of(files)[:8])
        written = written.replace(str(folder), ".")
        script.write_text(written, encoding="utf-8")
    log = printed.getvalue().replace(str(folder), ".")
    (folder / "hls4ml.log").write_text(log, encoding="utf-8")


def digest_of(files: Mapping[str, str]) -> str:
    """Return the hex digest over the texts of a project."""
    state = hashlib.sha256()
    for path in sorted(files):
        state.update(f"{path}\n{files[path]}\n".encode())
    return state.hexdigest()
