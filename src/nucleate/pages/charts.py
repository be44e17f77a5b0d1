"""Charts as SVG; no global state of matplotlib is left changed, no display is needed."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1B2733"
SETTINGS = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E6EA",
    "axes.edgecolor": "#5B6470",
    "svg.hashsalt": "nucleate",
}


def new_chart(width_in: float, height_in: float) -> tuple[Figure, Axes]:
    """Return a figure of a size in inches, and its axes."""
    # Imported here: it takes a second, which commands that draw nothing needn't wait for.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(SETTINGS):  # type: ignore[arg-type]
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        return figure, figure.subplots()


def chart_row(width_in: float, height_in: float, count: int) -> tuple[Figure, list[Axes]]:
    """Return a figure of a size in inches, and two or more axes side by side."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(SETTINGS):  # type: ignore[arg-type]
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        return figure, list(figure.subplots(1, count))


def svg_of(figure: Figure) -> str:
    """Return a figure as SVG, the same text for the same figure."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    content = io.StringIO()
    with mpl.rc_context(SETTINGS):  # type: ignore[arg-type]
        canvas = FigureCanvasSVG(figure)
        layout = figure.get_layout_engine()
        if layout is not None:
            # As savefig does, which draws the whole figure a second time for it: SVG has 72 points an inch.
            figure.dpi = 72
            layout.execute(figure)
            figure.set_layout_engine("none")
        canvas.print_svg(content, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]
    text = content.getvalue()
    return text[text.index("<svg") :]
