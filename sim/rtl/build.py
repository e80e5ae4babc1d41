# SPDX-License-Identifier: Apache-2.0
"""Compile a device under test with the bench around it; builds are cached by their texts."""

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import re
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hw.packed_sources import dsp_model
from quant.caches import cache_root
from quant.errors import ToolError
from sim.rtl.verilator import NATIVE, RUNTIME_LEVEL, Verilator, find_verilator, run_tool
from sim.rtl.wrapper import public_text

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
BENCH_SOURCES = tuple(
    HERE / name for name in ("nf_axis_source.sv", "nf_axis_sink.sv", "nf_bench_control.sv")
)
# Behaviour of the blocks of the device that cells instantiate.
DEVICE_MODELS = (dsp_model(),)
WAVE_SOURCES = (HERE / "nf_bench_waves.sv",)
PROBE_SOURCES = (HERE / "nf_probe.sv", HERE / "nf_probe.cpp")
MAIN_SOURCE = HERE / "nf_main.cpp"
EXECUTABLE = "nf_bench"

# C++ lines (about) of one file. A cell fits one file: several cost two precompiled headers, twice
# the time. A network of sixty cells is compiled in a third of the memory and on all cores.
SPLIT_LINES = 100_000
SPLIT_LINES_LARGE = 20_000


@dataclass(frozen=True)
class BuildOptions:
    """What changes the compiled model beside its sources.

    Attributes:
        waves: Compile in the recording of ``dump.vcd``.
        optimise: Compile with ``-O3`` for this processor: for long runs.
        large: A whole network: many C++ files, compiled side by side.
        jobs: Compiler processes at once; changes no result.
    """

    waves: bool = False
    optimise: bool = False
    large: bool = False
    jobs: int = 1


def compile_bench(
    sources: Sequence[Path],
    top: str,
    bench: str,
    cache: Path,
    options: BuildOptions,
    binds: str = "",
) -> Path:
    """Compile the bench around ``top``, or find it compiled.

    Two processes that want the same build wait for each other; different builds run in parallel.

    Args:
        sources: SystemVerilog of the device, packages before their users; ``.svh`` files are not
            compiled by themselves, but their folders are searched and their texts count.
        top: Module under test, for the name of the build.
        bench: Text of ``nf_bench``.
        cache: Folder of builds; made when missing.
        options: Compiler options.
        binds: Text that binds probes into the device; empty without probes.

    Returns:
        The executable.

    Raises:
        ToolError: A tool is missing, or Verilator or the compiler refuses the sources.
    """
    cache = cache.resolve()
    verilator = find_verilator()
    cocotb = _cocotb_version()
    key = hashlib.sha256()
    for part in (
        verilator.version,
        str(verilator.root),
        cocotb,
        str(_cocotb_folder()),
        bench,
        binds,
    ):
        key.update(part.encode() + b"\0")
    key.update(repr((options.waves, options.optimise, options.large)).encode())
    if options.optimise:
        command = ["g++", *NATIVE, "-Q", "--help=target"]
        key.update(run_tool(command, Path("/"), verilator.environment()).stdout.encode())
    bench_sources = (*BENCH_SOURCES, *DEVICE_MODELS, *WAVE_SOURCES, *PROBE_SOURCES, MAIN_SOURCE)
    for source in (*bench_sources, *sources):
        try:
            key.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
        except OSError as error:
            raise ToolError(f"{source} cannot be read: {error.strerror}") from None
    target = cache / f"{top}-{key.hexdigest()[:16]}"
    executable = target / EXECUTABLE
    if executable.is_file():
        return executable
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f".{target.name}.lock"):
        if not executable.is_file():
            work = Path(tempfile.mkdtemp(dir=cache, prefix=f".{top}-"))
            try:
                built = _compile(verilator, sources, bench, work, options, binds)
                done = work / "done"
                done.mkdir()
                built.rename(done / EXECUTABLE)
                (done / "nf_bench.sv").write_text(bench, encoding="utf-8")
                done.rename(target)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return executable


@contextmanager
def _locked(path: Path) -> "Iterator[None]":
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _cocotb_version() -> str:
    try:
        return importlib.metadata.version("cocotb")
    except importlib.metadata.PackageNotFoundError:
        raise ToolError(
            "cocotb is not installed; it conducts RTL simulations; run pip install -e '.[sim]' in "
            "nibbleflow's folder"
        ) from None


def _cocotb_folder() -> Path:
    # Found without importing cocotb, which would read the environment and set up its logging.
    spec = importlib.util.find_spec("cocotb")
    if spec is None or spec.origin is None:
        raise ToolError("cocotb is damaged; run pip install --force-reinstall cocotb==2.1.0")
    return Path(spec.origin).resolve().parent


def _compile(
    verilator: Verilator,
    sources: Sequence[Path],
    bench: str,
    work: Path,
    options: BuildOptions,
    binds: str,
) -> Path:
    (work / "nf_bench.sv").write_text(bench, encoding="utf-8")
    extra = [str(source) for source in WAVE_SOURCES] if options.waves else []
    if binds:
        extra += [str(source) for source in PROBE_SOURCES]
        (work / "nf_probes.sv").write_text(binds, encoding="utf-8")
        extra.append(str(work / "nf_probes.sv"))
    (work / "nf_bench.vlt").write_text(public_text(), encoding="ascii")
    model = work / "model"
    libs = _cocotb_folder() / "libs"
    arguments = [
        *("--cc", "--exe", "--vpi", "--prefix", "Vtop", "--top-module", "nf_bench"),
        *("-Mdir", str(model), "-o", EXECUTABLE, "--no-timing", "-Wno-fatal"),
        # Undriven and unset values are random, another set for each seed: they cannot hide.
        *("--x-assign", "unique", "--x-initial", "unique", "-O3"),
        *("--output-split", str(SPLIT_LINES_LARGE if options.large else SPLIT_LINES)),
        *("-LDFLAGS", f"-Wl,-rpath,{libs} -L{libs} -lcocotbvpi_verilator"),
        *(("--trace",) if options.waves else ()),
        *sorted({f"-I{source.parent.resolve()}" for source in sources}),
        str(work / "nf_bench.vlt"),
        *(str(source.resolve()) for source in sources if source.suffix != ".svh"),
        *(str(source) for source in (*BENCH_SOURCES, *DEVICE_MODELS)),
        str(work / "nf_bench.sv"),
        *extra,
        str(MAIN_SOURCE),
    ]
    done = verilator.run(arguments, work)
    if done.returncode:
        raise ToolError(f"Verilator refuses the sources: {first_error(done.stdout)}")
    make = [
        *("make", "-j", str(options.jobs), "-C", str(model), "-f", "Vtop.mk"),
        *(f"VM_TRACE={int(options.waves)}",),
        *verilator.make_settings(optimise=options.optimise),
    ]
    shared = _runtime_folder(verilator, options, dpi=bool(binds))
    fetched = _fetch_runtime(shared, model)
    done = run_tool(make, work, verilator.environment())
    if done.returncode:
        raise ToolError(f"compiling the simulation failed: {first_error(done.stdout)}")
    if not fetched:
        _keep_runtime(model, shared)
    return model / EXECUTABLE


def _runtime_folder(verilator: Verilator, options: BuildOptions, *, dpi: bool) -> Path:
    """Return where Verilator's own objects are kept: alike for every design, 12 s to compile."""
    compiler = run_tool(["g++", "-v"], Path("/"), verilator.environment()).stdout
    parts = (verilator.version, str(verilator.root), compiler, RUNTIME_LEVEL, options.waves, dpi)
    text = repr(parts)
    return cache_root() / f"runtime-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _fetch_runtime(shared: Path, model: Path) -> bool:
    if not shared.is_dir():
        return False
    for path in sorted(shared.glob("*.o")):
        # Copied without its times: make must see it as newer than its source.
        shutil.copyfile(path, model / path.name)
    return True


def _keep_runtime(model: Path, shared: Path) -> None:
    # Best effort: without a writable cache every build compiles them again. Whoever comes first
    # stays; both are the same.
    with suppress(OSError):
        shared.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=shared.parent, prefix=".runtime-") as folder:
            work = Path(folder) / "objects"
            work.mkdir()
            for path in sorted(model.glob("verilated*.o")):
                shutil.copyfile(path, work / path.name)
            work.rename(shared)


def first_error(text: str) -> str:
    """Return the first line that names an error, else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    wanted = [line for line in lines if re.search(r"%Error|%Fatal|error:|Error \d|undefined", line)]
    return (wanted or lines or ["no output"])[0 if wanted else -1]
