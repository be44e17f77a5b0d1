"""An image beside its overlay, as a matplotlib figure."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANEL_INCHES = 6.0
DPI = 130
# Wider than this, panels stand one above the other.
WIDE = 1.6


def side_by_side(image_rgb: NDArray[np.uint8], overlay_rgb: NDArray[np.uint8], *, titles: tuple[str, str]) -> Figure:
    """Return a figure of two panels, which notebooks show.

    No global state of matplotlib is touched, so it works without a display.
    """
    # Imported here: it takes a second, which commands that draw nothing needn't wait for.
    from nucleate.export.notebook_figure import NotebookFigure

    height_px, width_px = image_rgb.shape[:2]
    aspect = width_px / height_px
    stacked = aspect > WIDE
    panel_wh = (PANEL_INCHES, PANEL_INCHES / aspect) if aspect > 1 else (PANEL_INCHES * aspect, PANEL_INCHES)
    panel_wh = (max(panel_wh[0], 1.5), max(panel_wh[1], 0.5) + 0.35)
    figure = NotebookFigure(
        figsize=(panel_wh[0] * (1 if stacked else 2) + 0.1, panel_wh[1] * (2 if stacked else 1)),
        dpi=DPI,
        layout="constrained",
    )
    panels = figure.subplots(2 if stacked else 1, 1 if stacked else 2, squeeze=False).ravel()
    for panel, pixels, title in zip(panels, (image_rgb, overlay_rgb), titles, strict=True):
        panel.imshow(pixels, interpolation="antialiased")
        # A file name may hold dollar signs, which matplotlib reads as formulas.
        panel.set_title(title, fontsize=11, loc="left", color="#333333", parse_math=False)
        panel.set_axis_off()
    return figure


def figure_png(figure: Figure, *, dpi: int = DPI) -> bytes:
    """Return the figure as PNG with `dpi` pixels an inch."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=dpi, metadata={"Software": None})
    return content.getvalue()
