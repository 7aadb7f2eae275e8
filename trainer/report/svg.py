"""Charts of matplotlib as SVG that is part of a page: its fonts, its colours in light and dark.

Rules of this file
1. The same chart gives the same bytes: no dates, ids from a salt.
2. Colours are names; a page gives them values as custom properties of CSS.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from markupsafe import Markup
from matplotlib import style
from matplotlib.figure import Figure

# Placeholders: matplotlib wants colours that it knows, and writes them in lower case.
INK, MUTED, GRID, PAPER = "#010101", "#020202", "#030303", "#040404"
SERIES = ("#050501", "#050502", "#050503", "#050504", "#050505", "#050506")
GOOD, BAD = "#060601", "#060602"
_NAMES = {
    INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper", GOOD: "good", BAD: "bad",
    **{colour: f"series-{i}" for i, colour in enumerate(SERIES)},
}  # fmt: skip
_COLOUR = re.compile("|".join(_NAMES))

_STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 2,
    "lines.solid_capstyle": "round",
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}


class Chart:
    """A figure, and the SVG of it once the `chart` block is left."""

    def __init__(self, width_in: float, height_in: float) -> None:
        """An empty figure."""
        self.figure = Figure(figsize=(width_in, height_in), layout="constrained")
        self.svg = Markup()


@contextmanager
def chart(salt: str, width_in: float, height_in: float, alt: str) -> Iterator[Chart]:
    """Draws a chart.

    Args:
        salt: Makes the ids differ from those of other charts on the page.
        width_in: Width in inches of 72 points.
        height_in: Height.
        alt: What it shows, for those who do not see it.
    """
    with style.context(["default", {**_STYLE, "svg.hashsalt": salt}]):
        drawn = Chart(width_in, height_in)
        yield drawn
        buffer = io.StringIO()
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        with warnings.catch_warnings():  # who shows the text has fonts of their own
            warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
            drawn.figure.savefig(buffer, format="svg", metadata=metadata)
    drawn.svg = _inline(buffer.getvalue(), alt)


def _inline(text: str, alt: str) -> Markup:
    text = text[text.index("<svg") :]
    box = re.search(r'viewBox="([^"]*)"', text)
    assert box is not None, "matplotlib writes a viewBox"
    body = text[text.index(">") + 1 :]
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r"<style[^>]*>.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r" font-family: [^;]*;", "", body)
    body = body.replace("xlink:href", "href")
    body = _COLOUR.sub(lambda found: f"var(--{_NAMES[found[0]]})", body)
    opening = Markup('<svg viewBox="{}" role="img" aria-label="{}">').format(box[1], alt)
    return opening + Markup(body)  # noqa: S704 - drawn here; matplotlib escapes the texts
