# SPDX-License-Identifier: Apache-2.0
"""How every plot looks and becomes bytes: own style, no global state left behind.

matplotlib is imported on first use: the command line shows tables without waiting for it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

ImageFormat = Literal["png", "svg"]

# Source: Okabe and Ito, "Color Universal Design" (2008); told apart with every colour blindness.
BLUE, ORANGE, GREEN, YELLOW = "#0072B2", "#E69F00", "#009E73", "#F0E442"
SKY, VERMILLION, PURPLE, BLACK = "#56B4E9", "#D55E00", "#CC79A7", "#000000"
GREY, BROWN = "#999999", "#8C564B"
# Letters on a filled area.
ON_COLOUR = "#FEFEFE"
PALETTE = (BLUE, ORANGE, GREEN, SKY, VERMILLION, PURPLE, YELLOW, GREY, BLACK, BROWN)

LABEL_LETTERS = 34
_ROW_INCHES = 0.18
_STYLE: dict[RcKeyType, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "x",
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "legend.frameon": False,
    # A dollar sign in a name is a letter, not mathematics.
    "text.parse_math": False,
    "svg.hashsalt": "nibbleflow",
    "svg.fonttype": "none",
}
# Nothing of the clock or of the installation goes into a file.
_METADATA: dict[str, dict[str, None]] = {"svg": {"Date": None}, "png": {"Software": None}}


def render(draw: Callable[[], Figure], image_format: ImageFormat, dpi: int = 110) -> bytes:
    """Draw in the project's style and return the file: same input, same bytes.

    Args:
        draw: Makes the figure; called once, inside the style.
        image_format: ``png`` or ``svg``.
        dpi: Pixels per inch of a PNG.
    """
    return render_all(draw, (image_format,), dpi)[image_format]


def render_all(
    draw: Callable[[], Figure], formats: Sequence[ImageFormat], dpi: int = 110
) -> dict[ImageFormat, bytes]:
    """Draw once in the project's style and return the files by format; see ``render``.

    Letters of an SVG are text in the reader's own font.
    """
    import matplotlib

    found: dict[ImageFormat, bytes] = {}
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = draw()
        for image_format in formats:
            stream = io.BytesIO()
            figure.savefig(stream, format=image_format, dpi=dpi, metadata=_METADATA[image_format])
            found[image_format] = stream.getvalue()
    return found


def new_figure(width_inches: float, height_inches: float) -> Figure:
    """Return an empty figure that keeps its labels apart."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_inches, height_inches), layout="constrained")


def row_axes(
    names: Sequence[str], title: str, unit: str, subtitle: str = ""
) -> tuple[Figure, Axes]:
    """Return a figure with one horizontal row per name, the first one on top.

    Args:
        names: Row labels; long ones lose their middle.
        title: Heading.
        unit: Label of the value axis, with its unit.
        subtitle: Small line below the heading.
    """
    figure = new_figure(9.0, 1.7 + _ROW_INCHES * max(4, len(names)))
    axes = figure.add_subplot()
    axes.set_yticks(range(len(names)), [short_name(n) for n in names], fontsize=7)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(unit)
    axes.set_title(title, loc="left", pad=16 if subtitle else 6)
    if subtitle:
        axes.annotate(
            subtitle,
            (0, 1),
            (0, 5),
            xycoords="axes fraction",
            textcoords="offset points",
            color="#555555",
        )
    return figure, axes


def short_name(name: str, letters: int = LABEL_LETTERS) -> str:
    """Return ``name`` with its middle replaced by an ellipsis when it is too long for a label."""
    if len(name) <= letters:
        return name
    head = (letters - 1) // 2
    return f"{name[:head]}…{name[head + 1 - letters :]}"
