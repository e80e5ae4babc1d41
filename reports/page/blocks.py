# SPDX-License-Identifier: Apache-2.0
"""What a page is made of: sections of paragraphs, facts, tables, plots, lists and listings.

All of it is plain text, escaped when it becomes HTML, but for the pictures of ``inlinesvg``.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from markupsafe import Markup

Tone = Literal["", "good", "bad", "warn"]


@dataclass(frozen=True)
class Paragraph:
    """A paragraph.

    Attributes:
        text: What it says.
        tone: Whether it is good news, bad news or a warning; colour only adds to the words.
    """

    text: str
    tone: Tone = ""
    kind: ClassVar[str] = "paragraph"


@dataclass(frozen=True)
class Facts:
    """Names with their values.

    Attributes:
        rows: Name and value.
    """

    rows: tuple[tuple[str, str], ...]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        heading: Its heading, with the unit.
        numeric: Whether its cells are numbers.
    """

    heading: str
    numeric: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: What it shows.
        value: What it is sorted by; ``None``: it has no value and stands last.
    """

    text: str
    value: float | str | None


@dataclass(frozen=True)
class Grid:
    """A table that the reader can sort.

    Attributes:
        ident: Its id on the page.
        caption: Its caption: what it shows and how the figures were found.
        columns: Its columns; the cells of the first one name the rows.
        rows: As many cells per row as columns.
    """

    ident: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    kind: ClassVar[str] = "grid"


@dataclass(frozen=True)
class Plot:
    """A picture.

    Attributes:
        ident: Its id on the page.
        title: What it is, in a few words.
        caption: What it shows, in a sentence that replaces it for those who cannot see it.
        svg: The picture.
    """

    ident: str
    title: str
    caption: str
    svg: Markup
    kind: ClassVar[str] = "plot"


@dataclass(frozen=True)
class Listing:
    """Text to copy.

    Attributes:
        title: What it is.
        text: Its lines.
    """

    title: str
    text: str
    kind: ClassVar[str] = "listing"


@dataclass(frozen=True)
class Remarks:
    """A list of sentences.

    Attributes:
        texts: The sentences.
    """

    texts: tuple[str, ...]
    kind: ClassVar[str] = "remarks"


Block = Paragraph | Facts | Grid | Plot | Listing | Remarks


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        ident: Its id on the page.
        heading: Its heading.
        blocks: What stands in it.
    """

    ident: str
    heading: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """The whole page.

    Attributes:
        title: Its title.
        lead: The line below it.
        sections: Its sections.
        footer: The line at its end.
    """

    title: str
    lead: str
    sections: tuple[Section, ...]
    footer: str


def text_cell(text: str) -> Cell:
    """Return a cell sorted by its text; an empty one has no value."""
    return Cell(text or "–", text or None)


def number_cell(value: float | None, pattern: str = "{:,}") -> Cell:
    """Return a cell sorted by its number; a dash stands for one that is not known."""
    return Cell("–", None) if value is None else Cell(pattern.format(value), value)
