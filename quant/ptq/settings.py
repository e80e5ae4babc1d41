# SPDX-License-Identifier: Apache-2.0
"""Settings of a quantization, checked at the border."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

from quant.errors import QuantizationError
from quant.ptq.observers import RangeMethod
from quant.ptq.schemes.breakpoints import Method
from quant.ptq.schemes.setting import MIXTURES, Setting
from quant.ptq.weightquant import SCHEME_BITS, Rounding, SchemeName
from quant.weights import Granularity

WeightError = Literal["weights", "outputs"]
WeightClip = Literal["auto", "minmax", "mse"]
ObserverChoice = Literal["auto", "minmax", "percentile", "mse"]
CodebookChoice = Literal["auto", "always", "two-region", "never"]
Correction = Literal["none", "mean", "moments"]
# From this many bits on, clipping weights costs more at the outliers than it gains in resolution.
# Of activations with their long tails it pays at 8 bits too (YOLOv5n: its activations at 8 bits in
# the full range make twice the output loss that those of least squared error make).
FULL_RANGE_WEIGHT_BITS = 6
FALLBACK_SCHEME: SchemeName = "symmetric"
MIN_WEIGHT_BITS, MAX_WEIGHT_BITS = 2, 8
MIN_ACT_BITS, MAX_ACT_BITS = 4, 8
# 16 bits over the fewest.
MAX_RATIO = 8
SCHEMES: tuple[str, ...] = get_args(SchemeName)
GRANULARITIES: tuple[str, ...] = (*(str(g) for g in Granularity), *MIXTURES)
BREAKPOINT_METHODS: tuple[str, ...] = get_args(Method)


@dataclass(frozen=True)
class LayerOverride:
    """Other bits for the nodes whose name matches.

    Attributes:
        pattern: Node name, or a shell-style pattern.
        weight_bits: Stored bits per weight, or ``None`` to keep.
        act_bits: Bits of the output codes, or ``None`` to keep.
    """

    pattern: str
    weight_bits: int | None
    act_bits: int | None

    @classmethod
    def parse(cls, text: str) -> "LayerOverride":
        """Read ``NAME=8`` (weights), ``NAME=w8``, ``NAME=a8`` or ``NAME=w8a8``.

        Raises:
            QuantizationError: The text has another form or bits out of range.
        """
        pattern, _, value = text.rpartition("=")
        weight, act = None, None
        digits = value if value.startswith(("w", "a")) else f"w{value}"
        if digits.startswith("w"):
            head, mark, tail = digits[1:].partition("a")
            weight, act = head, tail if mark else None
        else:
            act = digits[1:]
        if not pattern or not all(part is None or part.isdecimal() for part in (weight, act)):
            raise QuantizationError(
                f"--layer '{text}' is not of the form NAME=8, NAME=w8, NAME=a8 or NAME=w8a8"
            )
        result = cls(pattern, int(weight) if weight else None, int(act) if act else None)
        if result.weight_bits is not None:
            check_bits(f"weight bits of --layer '{pattern}'", result.weight_bits, "weight")
        if result.act_bits is not None:
            check_bits(f"activation bits of --layer '{pattern}'", result.act_bits, "act")
        return result


def check_bits(thing: str, bits: int, which: Literal["weight", "act"]) -> None:
    """Refuse bits outside the range of weights or activations.

    Raises:
        QuantizationError: The bits are out of range.
    """
    low, high = (
        (MIN_WEIGHT_BITS, MAX_WEIGHT_BITS) if which == "weight" else (MIN_ACT_BITS, MAX_ACT_BITS)
    )
    if not low <= bits <= high:
        raise QuantizationError(f"{thing}: {bits} is out of range; choose {low} to {high}")


@dataclass(frozen=True)
class QuantizeSettings:
    """How to quantize.

    Attributes:
        weight_bits: Stored bits per weight, 2 to 8.
        act_bits: Bits of inner activation codes, 4 to 8.
        edge_bits: Weight bits of the first convolution and of the head convolutions; these few
            layers cost little memory and much accuracy.
        stem_act_bits: Bits of the first convolution's output codes.
        output_bits: Bits of the graph's outputs, 8 to 16 (8 where an activation table makes them).
        scheme: Levels of the weights, a ``SchemeName``. Layers whose bits the scheme does not have
            (the stem and the head at 8, say) are symmetric: one decode table per layer.
        granularity: Which weights share levels: one of the five for all layers, or ``mixture`` and
            its kin, which choose per layer.
        weight_clip: Range of a weight group: its extremes (``minmax``), the clipped range of least
            squared error (``mse``), or ``auto``: ``mse`` below 6 bits, ``minmax`` from 6 bits on.
        weight_error: What the squared error of a weight counts when levels are chosen: all the same
            (``weights``), or with the mean square of the inputs that it meets (``outputs``: the
            layer's own output error, inputs taken as independent).
        least_ratio: Where the memory-saving ratio (every stored bit) may fall to: layers get more
            than ``weight_bits`` as long as it stays above, those first whose rounding the outputs
            feel most per stored bit; ``edge_bits`` does not count then. ``None`` gives no layer
            more.
        breakpoint_method: How PWLQ finds its breakpoint: ``search`` for the least squared error,
            or the closed form for ``gaussian`` or ``laplacian`` weights.
        breakpoints: Breakpoints of PWLQ, 1 to 3.
        multiplier_bits: Width of the group multipliers, 1 to 8; by default 6 C-shape-wise and 8
            F-shape- and channel-wise.
        observer: Range of an activation: ``minmax``, ``percentile``, ``mse`` (least squared error),
            or ``auto``: ``mse``, or ``minmax`` where codebooks are weighed and it costs the
            outputs less.
        percentile: Share kept by the ``percentile`` observer, in percent.
        codebook: ``auto`` gives a tensor a codebook where even steps would cost the outputs too
            much, ``always`` wherever it makes their error less (at 4 bits nearly everywhere; what
            it decodes to is wider then); ``two-region`` is as ``auto``, but tensors of up to 4 bits
            get the two-region code of ``quant.ptq.sparsecodes`` where its error is below that of
            even steps; ``never`` keeps even steps everywhere.
        correction: What compensates rounding and clipping without any training: ``none``; ``mean``
            (the mean error of the quantized weights moves into the bias); ``moments`` (per filter,
            gain and bias match the float network's mean and deviation, layer by layer).
        overrides: Other bits by node name; later ones win.
    """

    weight_bits: int = 4
    act_bits: int = 8
    edge_bits: int = 8
    stem_act_bits: int | None = None
    output_bits: int = 16
    scheme: SchemeName = "affine"
    granularity: str = "filter"
    weight_clip: WeightClip = "auto"
    weight_error: WeightError = "weights"
    least_ratio: float | None = None
    breakpoint_method: Method = "search"
    breakpoints: int = 1
    multiplier_bits: int | None = None
    observer: ObserverChoice = "auto"
    percentile: float = 99.99
    codebook: CodebookChoice = "auto"
    correction: Correction = "moments"
    overrides: tuple[LayerOverride, ...] = ()

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            QuantizationError: A field is out of range or not available.
        """
        check_bits("--weight-bits", self.weight_bits, "weight")
        check_bits("--act-bits", self.act_bits, "act")
        check_bits("--edge-bits", self.edge_bits, "weight")
        if self.stem_act_bits is not None:
            check_bits("--stem-act-bits", self.stem_act_bits, "act")
        if not 8 <= self.output_bits <= 16:
            raise QuantizationError(f"--output-bits: {self.output_bits} is out of range; 8 to 16")
        _need("--scheme", self.scheme, SCHEMES)
        _need("--granularity", self.granularity, GRANULARITIES)
        _need("--breakpoint-method", self.breakpoint_method, BREAKPOINT_METHODS)
        self.weights_of(self.weight_bits)
        _need("--weight-clip", self.weight_clip, ("auto", "minmax", "mse"))
        _need("--weight-error", self.weight_error, ("weights", "outputs"))
        if self.least_ratio is not None and not 1.0 <= self.least_ratio <= MAX_RATIO:
            raise QuantizationError(
                f"--least-ratio: {self.least_ratio} is out of range; choose 1 to {MAX_RATIO}"
            )
        _need("--observer", self.observer, ("auto", "minmax", "percentile", "mse"))
        _need("--codebook", self.codebook, get_args(CodebookChoice))
        _need("--correction", self.correction, ("none", "mean", "moments"))
        if not 50.0 < self.percentile <= 100.0:
            raise QuantizationError(f"--percentile: {self.percentile} must be in (50, 100]")

    @classmethod
    def checked(cls, **fields: Any) -> "QuantizeSettings":  # noqa: ANN401 - checked one by one
        """Return settings from values whose type nobody has checked yet (command line, TOML).

        Raises:
            QuantizationError: A field is unknown, of another type, or out of range.
        """
        try:
            return cls(**fields)
        except TypeError as error:
            raise QuantizationError(f"quantize settings: {error}") from None

    def with_overrides(self, texts: list[str]) -> "QuantizeSettings":
        """Return the settings with ``--layer`` texts added."""
        return replace(self, overrides=(*self.overrides, *(LayerOverride.parse(t) for t in texts)))

    def check_patterns(self, names: list[str]) -> None:
        """Refuse overrides that match nothing.

        Raises:
            QuantizationError: A pattern matches no node.
        """
        for override in self.overrides:
            if not any(fnmatchcase(name, override.pattern) for name in names):
                stem = override.pattern.split(".")[-1]
                near = [n for n in names if stem in n][:5] or names[:5]
                raise QuantizationError(
                    f"--layer '{override.pattern}' matches no layer; near: {', '.join(near)}"
                )

    def weight_bits_of(self, name: str, *, edge: bool) -> int:
        """Return the weight bits of layer ``name``; ``edge`` says stem or head."""
        named = self.overridden_bits_of(name)
        if named is not None:
            return named
        return self.edge_bits if edge else self.weight_bits

    def overridden_bits_of(self, name: str) -> int | None:
        """Return the weight bits that an override gives layer ``name``; ``None`` without one."""
        bits = None
        for override in self.overrides:
            if override.weight_bits is not None and fnmatchcase(name, override.pattern):
                bits = override.weight_bits
        return bits

    @property
    def range_method(self) -> RangeMethod:
        """How the ranges of activations are chosen."""
        return "mse" if self.observer == "auto" else self.observer

    def weight_clip_of(self, bits: int) -> Literal["minmax", "mse"]:
        """Return how the range of ``bits``-bit weights is chosen."""
        if self.weight_clip == "auto":
            return "minmax" if bits >= FULL_RANGE_WEIGHT_BITS else "mse"
        return self.weight_clip

    def weights_of(self, bits: int) -> Setting:
        """Return how the weights of a layer with ``bits`` stored bits are rounded.

        Raises:
            QuantizationError: The scheme does not have the settings' own weight bits, or the
                breakpoints do not fit.
        """
        low, high = SCHEME_BITS[self.scheme]
        own = bits == self.weight_bits or low <= bits <= high
        rounding = Rounding(
            scheme=self.scheme if own else FALLBACK_SCHEME,
            bits=bits,
            clip=self.weight_clip_of(bits),
            breakpoint_method=self.breakpoint_method,
            breakpoints=self.breakpoints if own else 1,
            multiplier_bits=self.multiplier_bits,
        )
        return Setting(rounding, self.granularity)

    def fallback_note(self, bits: Mapping[str, int]) -> str | None:
        """Say which layers have bits that the scheme lacks; ``None`` if there are none.

        Args:
            bits: Weight bits by layer name.
        """
        low, high = SCHEME_BITS[self.scheme]
        others = [f"'{n}' ({b} bits)" for n, b in bits.items() if not low <= b <= high]
        if not others:
            return None
        own = f"{low}" if low == high else f"{low} to {high}"
        return (
            f"'{self.scheme}' has {own} stored bits; {FALLBACK_SCHEME} instead: {', '.join(others)}"
        )

    def act_bits_of(self, name: str, *, stem: bool) -> int:
        """Return the bits of the codes that node ``name`` makes."""
        bits = self.act_bits
        if stem and self.stem_act_bits is not None:
            bits = self.stem_act_bits
        for override in self.overrides:
            if override.act_bits is not None and fnmatchcase(name, override.pattern):
                bits = override.act_bits
        return bits

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        value = asdict(self)
        value["overrides"] = [asdict(o) for o in self.overrides]
        return value


def _need(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise QuantizationError(
            f"{option} '{value}' is not available; choose {', '.join(map(str, allowed))}"
        )
