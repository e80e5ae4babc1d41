# SPDX-License-Identifier: Apache-2.0
"""Counted resources as vectors, and the budget that a plan has to keep."""

from dataclasses import dataclass, replace
from typing import NamedTuple, Self

from hw.device import Device
from hw.devices import DEVICES
from hw.estimate import Resources
from quant.errors import PlanError

_NO_LIMIT = 10**12
_SCALE = 10**9
"""Costs are whole numbers: billionths of a device's resource."""

KIB = 1024

YARDSTICK = DEVICES["zcu104"]
"""Board whose shares are the cost of a plan for no board: it has a number of every resource."""


class Uses(NamedTuple):
    """What something takes of the resources that a device has a number of.

    Attributes:
        lut: Lookup tables of six inputs, as logic and as memory.
        ff: Flip-flops.
        dsp: DSP blocks.
        bram18: Block RAMs of 18 Kibit.
        uram: Ultra RAMs.
        external_kib: KiB of weights that a frame takes from the memory on the board.
    """

    lut: int = 0
    ff: int = 0
    dsp: int = 0
    bram18: int = 0
    uram: int = 0
    external_kib: int = 0

    @classmethod
    def of(cls, found: Resources) -> Self:
        """Return the vector of estimated ``found``."""
        return cls(found.all_luts, found.ff, found.dsp, found.bram18, found.uram)

    def plus(self, other: "Uses") -> "Uses":
        """Return the sum."""
        lut, ff, dsp, bram18, uram, external_kib = self
        return Uses(
            lut + other.lut, ff + other.ff, dsp + other.dsp, bram18 + other.bram18,
            uram + other.uram, external_kib + other.external_kib,
        )  # fmt: skip

    def times(self, count: int) -> "Uses":
        """Return ``count`` of it."""
        return Uses(*(a * count for a in self))

    def beyond(self, limit: "Uses") -> "Uses":
        """Return what exceeds ``limit``, resource by resource."""
        return Uses(*(max(0, a - b) for a, b in zip(self, limit, strict=True)))

    def within(self, limit: "Uses") -> bool:
        """Whether no resource exceeds ``limit``."""
        return all(a <= b for a, b in zip(self, limit, strict=True))

    def __str__(self) -> str:
        """Say what it takes, as ``12 DSP blocks, 3 ultra RAMs``; empty when it is nothing."""
        words = zip(self, RESOURCE_WORDS, strict=True)
        return ", ".join(f"{count:,} {word}" for count, word in words if count)


NOTHING = Uses()
"""What a wire takes."""

RESOURCE_WORDS = (
    "lookup tables",
    "flip-flops",
    "DSP blocks",
    "block RAMs of 18 Kibit",
    "ultra RAMs",
    "KiB of weights from outside in a frame",
)
"""What messages call the resources, by field."""


@dataclass(frozen=True)
class Budget:
    """What a plan may take, and what it costs.

    Attributes:
        device: The board; ``None``: nothing is limited.
        fill_percent: Most of the board's lookup tables and flip-flops; routing needs the rest.
        lifted: Resource, by its place in ``Uses``, that has no limit.
        reserved: Kept back for what tables do not count.
        streaming: Whether weights may come from the memory on the board.
        moved_kib: KiB that this memory moves in a frame, and how many of them pictures and results
            are; ``None``: not known before an interval is (``at``), and without limit.
    """

    device: Device | None
    fill_percent: int = 80
    lifted: int | None = None
    reserved: Uses = NOTHING
    streaming: bool = False
    moved_kib: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Check the share.

        Raises:
            PlanError: It is no percentage that leaves anything.
        """
        if not 1 <= self.fill_percent <= 100:
            raise PlanError(
                f"a plan cannot take {self.fill_percent} % of a board's tables; give 1 to 100"
            )

    def at(self, interval: int, picture_bytes: int) -> "Budget":
        """Return the budget of plans that take a frame in at most ``interval`` cycles.

        Args:
            interval: Cycles of a frame.
            picture_bytes: Bytes of its picture and results.
        """
        board = self.device
        if board is None or not self.streaming:
            return self
        moved = board.external_bytes_per_second * interval // (board.clock_hz * KIB)
        return replace(self, moved_kib=(moved, -(-picture_bytes // KIB)))

    @property
    def limit(self) -> Uses | None:
        """The most of every resource; ``None`` without a board."""
        board = self.device
        if board is None:
            return None
        most = Uses(
            board.six_input_luts * self.fill_percent // 100,
            board.ff * self.fill_percent // 100,
            board.dsp,
            board.bram18,
            board.uram,
            self._external_kib,
        )
        limits = list(most.beyond(self.reserved))
        if self.lifted is not None:
            limits[self.lifted] = _NO_LIMIT
        return Uses(*limits)

    def cost(self, uses: Uses) -> int:
        """Return the sum of the shares that ``uses`` has of the board, in billionths.

        Without a board of the yardstick's. A resource that the board lacks costs nothing: nothing
        that takes it is offered.
        """
        return sum(u * price for u, price in zip(uses, self.prices, strict=True))

    @property
    def prices(self) -> tuple[int, ...]:
        """Cost of one piece of every resource."""
        board = YARDSTICK if self.device is None else self.device
        moved = 0 if self.moved_kib is None else self.moved_kib[0]
        have = (board.six_input_luts, board.ff, board.dsp, board.bram18, board.uram, moved)
        return tuple(_SCALE // count if count else 0 for count in have)

    @property
    def _external_kib(self) -> int:
        """The most that weights may take of the memory's bandwidth in a frame."""
        if not self.streaming:
            return 0
        if self.moved_kib is None:
            return _NO_LIMIT
        moved, pictures = self.moved_kib
        return max(0, moved - pictures)
